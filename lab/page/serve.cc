#include "lab/page/serve.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "lab/page/files.h"
#include "lab/page/run.h"
#include "lab/page/scenes.h"
#include "lab/planted.h"
#include "lab/sim/trace.h"

namespace decree::lab {

namespace {

using http::HttpAnswer;

constexpr std::string_view kRunType = "text/x-decree-run";

HttpAnswer dressed(int status, std::string type, std::string body) {
  HttpAnswer answer;
  answer.status = status;
  answer.content_type = std::move(type);
  answer.body = std::move(body);
  // Nothing from elsewhere is loaded, nobody elsewhere may look, frame or keep it. No CORS: only the page
  // itself reads.
  answer.headers = {
      {"content-security-policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
       "data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"x-content-type-options", "nosniff"},
      {"referrer-policy", "no-referrer"},
      {"cross-origin-resource-policy", "same-origin"},
      {"cache-control", "no-store"}};
  return answer;
}

HttpAnswer refusal(int status, const std::string& sentence) {
  return dressed(status, "application/json", fmt::format("{{\"error\":{}}}\n", json_string(sentence)));
}

const char* type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "text/javascript; charset=utf-8";
}

bool is_ours(std::string_view host, uint16_t port) {
  for (const char* name : {"127.0.0.1", "localhost", "[::1]"})
    if (host == fmt::format("{}:{}", name, port) || (port == 80 && host == name)) return true;
  return false;
}

HttpAnswer play(const PageQuestion& q) {
  if (q.content_type != kRunType) return refusal(415, fmt::format("send a run as {}", kRunType));
  Result<PageRequest> request = parse_page_request(q.body);
  if (!request.ok()) return refusal(400, request.error().message);
  return dressed(200, "application/json", play_page_run(*request));
}

HttpAnswer scene(std::string_view name) {
  std::string played = play_page_scene(std::string(name));
  if (played.empty()) return refusal(404, "there is no such scene; /api/scenes names them");
  return dressed(200, "application/json", std::move(played));
}

HttpAnswer route(const PageQuestion& q) {
  constexpr std::string_view kScene = "/api/scene/";
  const std::string_view wanted = q.path == "/api/run" ? "POST" : "GET";
  if (q.method != wanted && !(wanted == "GET" && q.method == "HEAD")) {
    HttpAnswer answer = refusal(405, fmt::format("this path takes {}", wanted));
    answer.allow = wanted;
    return answer;
  }
  if (q.path == "/api/run") return play(q);
  if (q.path == "/api/scenes") return dressed(200, "application/json", page_scenes_json());
  if (q.path.starts_with(kScene)) return scene(q.path.substr(kScene.size()));
  const std::string_view name = q.path == "/" ? "index.html" : q.path.substr(1);
  for (const PageFile& file : page_files())
    if (file.name == name) return dressed(200, type_of(name), std::string(file.bytes));
  return refusal(404, "there is nothing at this path; the page is at /");
}

class PagePort final : public http::HttpHandler {
 public:
  explicit PagePort(http::Server& server) : server_(server) {
    for (const PageFile& file : page_files()) server_.add_http("/" + std::string(file.name), this);
    for (const char* path : {"/", "/api/run", "/api/scenes"}) server_.add_http(path, this);
    for (const PageScene& s : page_scenes()) server_.add_http("/api/scene/" + s.name, this);
  }
  void listens_at(uint16_t port) { port_ = port; }

  void on_request(http::CallId call, const http::HttpRequest& request) override {
    server_.answer(call, answer_page({request.method, request.path, server_.metadata(call, "host"),
                                      server_.metadata(call, "origin"),
                                      server_.metadata(call, "content-type"), request.body},
                                     port_));
  }

 private:
  http::Server& server_;
  uint16_t port_ = 0;
};

http::Limits page_limits() {
  http::Limits limits;
  limits.http_body_bytes_max = PageLimits::request_bytes;
  limits.connections_max = 64;
  limits.fresh_connections_max = 32;
  limits.calls_max = 64;
  limits.total_bytes_max = 64u << 20;
  return limits;
}

bool loopback(const std::string& host) { return host == "127.0.0.1" || host == "localhost" || host == "::1"; }

}  // namespace

HttpAnswer answer_page(const PageQuestion& q, uint16_t port) {
  if (!is_ours(q.host, port))
    return refusal(403,
                   fmt::format("open http://127.0.0.1:{}/ itself: the page answers to no other name", port));
  if (!q.origin.empty() && q.origin != fmt::format("http://{}", q.host))
    return refusal(403, "another page has asked; only the laboratory's own page may");
  return route(q);
}

int serve_command(const ServeCommand& command) {
  const auto fail = [](const std::string& sentence) {
    std::cerr << "decree-lab: " << sentence << '\n';
    return 2;
  };
  if (!command.plant.empty() && !plant(command.plant))
    return fail("--plant: no such bug is compiled into this program; use decree-lab-planted");
  Result<net::HostPort> address = net::parse_host_port(command.listen);
  if (!address.ok()) return fail("--listen: " + address.error().message);
  if (!loopback(address->host))
    return fail("--listen: the page has no password, so it listens on loopback only: 127.0.0.1:PORT");
  net::EventLoop loop;
  http::Server server(loop, page_limits(),
                      [](const std::string& s) { std::cerr << "decree-lab: " << s << '\n'; });
  PagePort port(server);
  Result<uint16_t> bound = server.listen(*address);
  if (!bound.ok()) return fail("--listen: " + bound.error().message);
  port.listens_at(*bound);
  std::cout << fmt::format("the laboratory's page: http://{}/ (end it with Ctrl-C)\n",
                           net::to_string({address->host, *bound}))
            << std::flush;
  for (;;) {
    loop.wait(std::chrono::seconds(1));
    loop.flush();
  }
}

}  // namespace decree::lab
