// One member as the search over whole replicas sees it: the shipped Replica, a disk that loses what was not
// synced, and connections. Every step is a function of one member's state and one word.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "decree/record.h"
#include "lab/model/config.h"
#include "lab/model/replica_value.h"
#include "lab/model/tables.h"

namespace decree::lab::model {

// What a member said, or what became true of it. As Note in node.h: never lost, never too late.
struct Word {
  enum class Kind : uint8_t { message, hello, beat, voted, decided, opened };
  Kind kind = Kind::message;
  NodeId to;  // message, hello
  Message message;
  Ballot ballot;  // voted
  Slot slot;      // voted, decided
  Entry entry;
  Membership membership;       // opened
  Incarnation incarnation;     // of the speaker's disk: hello, voted
  uint64_t boot = 0;           // of the speaker's process: with connections
  uint64_t disk_writes = 0;    // hello, beat
  uint32_t epoch = 0;          // hello: the speaker's
  Incarnation to_incarnation;  // hello: as the speaker knows it
  uint64_t to_boot = 0;        // message: of the process at the other end; with connections
  std::string key;             // equal keys, equal words
  bool operator==(const Word& other) const { return key == other.key; }
};
struct HashWord {
  uint64_t operator()(const Word& word) const { return std::hash<std::string>()(word.key); }
};

struct Site {
  NodeId node;
  bool gone = false;
  Incarnation incarnation;
  uint64_t boot = 0;  // no two starts have the same
  ReplicaValue replica;
  RecoveredState disk;                 // only while faults may come
  std::vector<PersistedRecord> queue;  // handed to the disk, in order
  uint64_t disk_writes = 0;            // durable; only counted where images are put back
  std::optional<RecoveredState> image;
  std::string key;
  bool operator==(const Site& other) const { return key == other.key; }
};
struct HashSite {
  uint64_t operator()(const Site& site) const { return std::hash<std::string>()(site.key); }
};

struct SiteTables {
  Interner<Word, HashWord> words;
  Interner<Site, HashSite> sites;
  Sets sets;  // of words
};

// No delivery of `word` can change `to` or make it speak, now or later in this start.
bool is_void(const Word& word, const Site& to);

class ReplicaStep {
 public:
  // `settled`: no fault can come any more, so nobody needs the disk. `scratch`: any replica, overwritten.
  ReplicaStep(const Config& config, SiteTables& tables, Replica& scratch, bool settled);

  // What `site` says when it calls `to`, or answers it.
  Word hello(const Site& site, NodeId to) const;
  // The process starts. `found` on its disk; `told`: the members as its flags or the others say.
  void start(Site& site, RecoveredState found, const Membership& told);
  bool deliver(Site& site, NodeId from, const Word& word);
  bool run(Site& site, bool dead_answer);
  bool command(Site& site);
  bool change(Site& site, const NextRoles& roles);
  bool tend(Site& site);
  bool sync_next(Site& site);
  void sync_all(Site& site);  // the last fault is gone: everything is durable
  bool crash(Site& site);
  void wipe(Site& site, const Membership& genesis);
  void retire(Site& site);  // gone for good, and its disk with it
  bool keep_image(Site& site);
  bool put_image_back(Site& site);
  Word beat(const Site& site) const;

  std::vector<uint32_t> said;  // numbers of words
  std::string breach;

 private:
  bool draft(Draft d) const { return config_.draft == d; }
  const Cluster& cluster() const { return *config_.cluster; }
  bool counted() const { return cluster().images > 0; }
  bool at_once() const { return settled_ || cluster().crashes == 0; }
  template <class Act>
  void turn(Site& site, Act&& act);
  void step(const Input& input) { replica_.step(input, effects_); }
  void take_effects(Site& site);
  void make_durable(Site& site);
  void connect_all(Site& site);
  void answers(const Site& site, bool good, bool dead_answer);
  void say(Site& site, Word word);
  void say_message(Site& site, const Outgoing& out);
  bool meet(Site& site, NodeId from, const Word& hello);
  void check_said(const Site& site, const Message& message);
  Entry as_drafted(const Site& site, Entry entry) const;
  Message as_drafted(const Site& site, Message message) const;

  const Config& config_;
  SiteTables& tables_;
  Replica& replica_;
  bool settled_;
  Effects effects_;
};

}  // namespace decree::lab::model
