// Every bound of the client port. docs/operations.md lists them for operators.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace decree::http {

struct Limits {
  // etcd's max-request-bytes plus 512 KiB for the transport.
  size_t message_bytes_max = 1572864 + 524288;
  size_t header_list_bytes_max = 16 * 1024;
  size_t continuations_max = 8;
  size_t http_body_bytes_max = 16 * 1024;  // of plain HTTP requests: no page takes one
  uint32_t streams_max = 1000;             // concurrent calls on one connection
  size_t calls_max = 50000;                // on all connections
  size_t connections_max = 8192;
  size_t fresh_connections_max = 1024;              // without a complete request yet
  size_t connection_request_bytes_max = 32u << 20;  // incomplete requests of one connection
  size_t connection_answer_bytes_max =
      64u << 20;                         // answers waiting on one connection; above: new calls are refused
  size_t total_bytes_max = 512u << 20;   // both, of all connections together; above: new calls are refused
  size_t output_bytes_max = 256 * 1024;  // made into frames ahead of the socket; above: reading stops
  uint32_t resets_max = 200;             // streams reset in one window, by either side, then GOAWAY
  uint32_t control_frames_max = 1000;    // PING, SETTINGS, PRIORITY, empty DATA in one window
  std::chrono::seconds window{10};
  std::chrono::seconds header_deadline{10};  // handshake, request header, one frame
  std::chrono::seconds body_deadline{30};    // a whole unary request
  std::chrono::seconds stuck_deadline{60};   // output that does not move
  std::chrono::seconds http1_idle{120};
};

}  // namespace decree::http
