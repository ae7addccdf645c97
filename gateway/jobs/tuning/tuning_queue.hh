// TuningQueue: which fine-tune runs where. By finish time or by price, in three priorities, with quotas that are lent
// while they lie idle. What must give way is snapshotted and goes on elsewhere; what loses its pool goes on from its
// last checkpoint. Sans-I/O: events in, actions out; it stores nothing: the shell keeps what it says.
//
//   state \ event  a place is free   staged     snapshot    pool gone            pause      resume   done       cancel
//   Waiting        Staging, Stage    –          –           –                    Paused     –        –          Ended
//   Staging        –                 Running,   –           Waiting              Paused     –        –          Ended
//                                    Start
//   Running        –                 –          (kept)      Waiting, from its    Yielding,  –        Ended      Ended, Cancel
//                                                           last checkpoint      Snapshot
//   Yielding       –                 –          Waiting or  Waiting or Paused    –          –        Ended      Ended, Cancel
//                                               Paused
//   Paused         –                 –          –           –                    –          Waiting  –          Ended
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::jobs {

enum class Priority : std::uint8_t { High, Normal, Low };
std::string_view to_string(Priority priority);
std::optional<Priority> parse_priority(std::string_view text) noexcept;

enum class TuningState : std::uint8_t { Waiting, Staging, Running, Yielding, Paused, Ended };
std::string_view to_string(TuningState state);

// A pool as fine-tunes see it.
struct TuningPool {
  std::string id, site;
  bool alive = true;
  std::uint32_t places = 1;          // fine-tunes at once
  double tokens_per_s = 1;           // its training speed
  double bytes_per_s = 1;            // to it
  std::int64_t nano_per_mtoken = 0;  // its price of a million trained tokens
};

struct TuningJob {
  std::string id, tenant;
  Priority priority = Priority::Normal;
  bool cheapest = false;           // by price rather than by finish time
  std::uint64_t tokens = 0;        // to train in all
  std::uint64_t steps = 1;         // the job in the pool's steps, once known
  std::vector<std::string> pools;  // only these; empty: any
  // Bytes that would have to be moved to a pool first; absent: nothing is missing there.
  std::map<std::string, std::uint64_t> to_move;
  // What the whole of it takes at a pool, as that pool says; absent: by its tokens_per_s.
  std::map<std::string, double> seconds;

  TuningState state = TuningState::Waiting;
  std::string pool;         // where it is staged or runs
  std::string last_pool;    // where it ran before; another is tried first after a loss
  std::uint64_t step = 0;   // done at the last checkpoint that is safe
  std::string checkpoint;   // its artefact; empty: from the beginning
  std::uint32_t moves = 0;  // times it began again somewhere
  std::uint64_t order = 0;  // of arrival; filled by add()
};

struct TuningAction {
  enum class Kind : std::uint8_t { Stage, Start, Snapshot, Cancel };
  // Of a snapshot: somebody paused it, one of higher priority comes, or the place was borrowed and its owner comes.
  enum class Why : std::uint8_t { Asked, Priority, Quota };
  Kind kind{};
  std::string job, pool;
  Why why = Why::Asked;
};

class TuningQueue {
 public:
  void set_pool(const TuningPool& pool);
  // Places of one tenant that are its own; others borrow them while it does not need them. Without one: none are.
  void set_quota(const std::string& tenant, std::uint32_t places) { quotas_[tenant] = places; }

  void add(TuningJob job);
  // One more of the pools that a job names may have it; a job that names none has them all.
  void allow(const std::string& job, const std::string& pool, std::uint64_t to_move, double seconds);
  void on_staged(const std::string& job);
  // It cannot be brought there; the pool is left alone for this job from now on.
  void on_stage_failed(const std::string& job);
  // A checkpoint is safe, away from the pool. After the end none counts: what is billed then is settled.
  void on_checkpoint(const std::string& job, std::uint64_t step, const std::string& artefact);
  // What Snapshot asked for is done (its checkpoint was told before).
  void on_yielded(const std::string& job);
  void on_pool_gone(const std::string& pool);
  void on_ended(const std::string& job);
  void pause(const std::string& job);
  void resume(const std::string& job);
  void cancel(const std::string& job);
  // Gives free places to who comes next; takes them from who must give way.
  void turn();
  std::optional<TuningAction> poll_action();

  const TuningJob* find(const std::string& job) const;
  const std::map<std::string, TuningJob>& jobs() const { return jobs_; }

 private:
  TuningJob* at(const std::string& job);
  std::uint32_t used(const std::string& pool) const;
  std::uint32_t held(const std::string& tenant) const;
  std::uint32_t quota(const std::string& tenant) const;
  bool owed(const std::string& tenant) const;
  double seconds_at(const TuningJob& job, const TuningPool& pool) const;
  const TuningPool* choose(const TuningJob& job) const;
  bool make_room(const TuningJob& job);
  bool may_use(const TuningJob& job, const TuningPool& pool) const;

  std::map<std::string, TuningPool> pools_;
  std::map<std::string, std::uint32_t> quotas_;
  std::map<std::string, TuningJob> jobs_;
  std::map<std::string, bool> to_pause_;  // yields because somebody paused it
  std::vector<TuningAction> actions_;
  std::size_t polled_ = 0;
  std::uint64_t next_ = 1;
};

}  // namespace qanat::jobs
