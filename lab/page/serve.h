// decree-lab serve: the page over HTTP on loopback.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/server.h"

namespace decree::lab {

struct PageQuestion {
  std::string_view method;
  std::string_view path;
  std::string_view host;
  std::string_view origin;
  std::string_view content_type;
  std::string_view body;
};

// One answer. Without sockets, so that tests can ask. `port`: where the page listens; a Host that is not this
// machine's loopback at this port is refused, because a foreign name that resolves to 127.0.0.1 is somebody
// else's page.
http::HttpAnswer answer_page(const PageQuestion& question, uint16_t port);

struct ServeCommand {
  std::string listen = "127.0.0.1:0";
  std::string plant;  // planted bug
};
// Serves until it is interrupted. 2: it could not begin.
int serve_command(const ServeCommand& command);

}  // namespace decree::lab
