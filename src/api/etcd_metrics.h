// Names the sources of everything that can be asked when somebody scrapes.
#pragma once

#include "api/context.h"
#include "api/http_pages.h"
#include "api/metrics.h"

namespace decree::api {

void register_etcd_metrics(Context& context, const http::Server& server, const net::EventLoop& loop,
                           const HttpPages& pages, Metrics& metrics);
void register_process_metrics(Metrics& metrics);
// After all services: one pair of counters per method.
void register_grpc_metrics(const http::Server& server, Metrics& metrics);

}  // namespace decree::api
