#include <fmt/format.h>

#include <functional>
#include <map>

#include "lab/exhibits/bully.h"
#include "lab/page/drawn.h"

namespace decree::lab {

namespace {

BullyRun two_coordinators() {
  BullyOptions o;
  for (o.seed = 1;; ++o.seed) {
    o.late_message.reset();
    const uint64_t messages = run_bully(o).messages;
    for (uint64_t late = 0; late < messages; ++late) {
      o.late_message = late;
      BullyRun run = run_bully(o);
      if (run.two_coordinators) return run;
    }
  }
}

}  // namespace

void draw_bully(TraceLines* lines) {
  const BullyRun run = two_coordinators();
  const uint32_t crashed = static_cast<uint32_t>(run.coordinator.size()) + 1;
  std::multimap<uint64_t, std::function<void()>> told;  // equal times: in this order
  for (uint32_t p = 1; p <= crashed; ++p) told.emplace(0, [=] { lines->start(p, ""); });
  told.emplace(0, [=] { lines->crash(crashed); });
  uint64_t id = 0;
  for (const BullyMessage& m : run.sent) {
    ++id;
    told.emplace(m.sent_ms, [=] { lines->send(id, m.from, m.to, m.name, ""); });
    told.emplace(m.arrives_ms, [=] {
      if (m.to == crashed)
        lines->lost(id, m.from, m.to, m.name);
      else
        lines->deliver(id, m.from, m.to, m.name);
    });
  }
  for (const BullyNote& note : run.story)
    told.emplace(note.at_ms, [=] {
      lines->note(note.process, "ROUND", note.process == 0 ? "two coordinators: " + note.text : note.text);
    });
  for (const auto& [time, tell] : told) {
    lines->at(time);
    tell();
  }
}

}  // namespace decree::lab
