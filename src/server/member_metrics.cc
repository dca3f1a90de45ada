#include "server/member_metrics.h"

#include <fmt/format.h>

namespace decree::server {

void add_member_metrics(api::Metrics& metrics, const runtime::Node& node,
                        const transport::Transport& transport, const LogicalClock& clock,
                        const ScrubTask& scrub) {
  const auto counter = [&](const char* name, const char* help, auto field) {
    metrics.add_counter(name, help, [&node, field] { return static_cast<double>(node.counters().*field); });
  };
  using runtime::NodeCounters;
  counter("decree_turns_total", "Turns of the loop.", &NodeCounters::turns);
  counter("decree_log_batches_total", "Batches handed to the log, one sync each.", &NodeCounters::batches);
  counter("decree_proposals_refused_total", "Proposals refused because a queue was full.",
          &NodeCounters::refused);
  counter("decree_peer_messages_dropped_total", "Messages of members dropped: queues full or digest wrong.",
          &NodeCounters::frames_dropped);
  counter("decree_entry_digest_mismatches_total", "Entries that were not what their digest says.",
          &NodeCounters::digest_mismatches);
  counter("decree_snapshots_taken_total", "Snapshots of the store written here.",
          &NodeCounters::snapshots_taken);
  counter("decree_snapshots_sent_total", "Snapshots sent to members.", &NodeCounters::snapshots_sent);
  counter("decree_snapshots_installed_total", "Snapshots of members installed here.",
          &NodeCounters::snapshots_installed);
  metrics.add_counter("decree_lost_ticks_total", "Ticks of 10 ms in which this process did not run.",
                      [&clock] { return static_cast<double>(clock.lost_ticks()); });
  metrics.add_counter("decree_scrubbed_bytes_total", "Bytes of log and snapshots read again.",
                      [&scrub] { return static_cast<double>(scrub.bytes_read()); });
  metrics.add_counter("decree_scrub_damages_total", "Damages that reading again found.",
                      [&scrub] { return static_cast<double>(scrub.damages()); });
  metrics.add_gauge("decree_unknown_slots", "Slots damaged here and not yet fetched from others.",
                    [&node] { return static_cast<double>(node.replica().status().unknown_slots); });
  for (const transport::PeerTraffic& peer : transport.traffic()) {
    const NodeId id = peer.peer;
    std::string to = std::to_string(id.value);
    for (const decree::Member& m : node.replica().membership().members)
      if (m.node == id) to = fmt::format("{:x}", m.member_id);
    const api::Metrics::Labels labels = {{"To", to}};
    const auto of_peer = [&transport, id](auto field) {
      return [&transport, id, field] {
        for (const transport::PeerTraffic& t : transport.traffic())
          if (t.peer == id) return static_cast<double>(t.*field);
        return 0.0;
      };
    };
    using transport::PeerTraffic;
    metrics.add_counter("etcd_network_peer_sent_bytes_total", "Bytes sent to the member.",
                        of_peer(&PeerTraffic::bytes_sent), labels);
    metrics.add_counter("etcd_network_peer_received_bytes_total", "Bytes received from the member.",
                        of_peer(&PeerTraffic::bytes_received), {{"From", to}});
    metrics.add_gauge("etcd_network_active_peers", "1 while the member is connected.",
                      of_peer(&PeerTraffic::connected), {{"Remote", to}});
    metrics.add_gauge("decree_peer_round_trip_microseconds", "Last beat to the member and back.",
                      of_peer(&PeerTraffic::round_trip_us), labels);
    metrics.add_counter("decree_peer_dropped_total", "Messages not sent: queue full or no connection.",
                        of_peer(&PeerTraffic::dropped), labels);
  }
}

}  // namespace decree::server
