// What the host itself can tell a dashboard; the API adds what concerns clients and consensus.
#pragma once

#include "api/metrics.h"
#include "runtime/node.h"
#include "server/logical_clock.h"
#include "server/scrub_task.h"
#include "transport/transport.h"

namespace decree::server {

// All references must outlive `metrics`.
void add_member_metrics(api::Metrics& metrics, const runtime::Node& node,
                        const transport::Transport& transport, const LogicalClock& clock,
                        const ScrubTask& scrub);

}  // namespace decree::server
