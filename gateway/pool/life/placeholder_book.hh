// PlaceholderBook: who has a right to start engines at a pool, who has started which, and for how long they held cards.
// Rights may be sold beyond the engines that there are (overbooked): first woken, first served. Sans-I/O: wishes and what
// engines do in; engines to stage, wake or drain out.
//
//   a right \ event   put, awake n         put, awake fewer, or not renewed for its ttl   remove
//   unknown           bound: Stage, Wake   bound: Stage                                   –
//   bound             Wake: its own that drain, then free ones, n at most   Drain         Drain; forgotten when all are free
// The owner of the pool may shut it (a window of its offer is over): then every right is as one with awake 0.
// An engine is its holder's until it holds no card any more, draining included: so long it is counted in card time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::pool {

struct PlaceholderWish {
  std::string id;     // the owner's name for it, unique at the pool
  std::string owner;  // a gateway
  std::string model;
  std::uint32_t engines = 1;                      // rights
  std::uint32_t awake = 0;                        // of them, wanted now
  base::Duration ttl = std::chrono::seconds(60);  // without a further put they are drained
};

struct PlaceholderPrice {
  std::uint64_t card_nano_s = 0;         // per card held and second
  std::uint64_t placeholder_nano_s = 0;  // per right and second, used or not
};

// What a right came to so far, exact: what is kept over a restart. `epoch` tells a right from an earlier one of its name.
struct LeaseCount {
  std::uint64_t epoch = 0;
  std::uint64_t card_ns = 0, bound_ns = 0, charged_nano = 0;
};

struct PlaceholderStatus {
  PlaceholderWish wish;
  LeaseCount count;
  std::uint32_t granted = 0, held = 0, serving = 0;  // engines: woken for it, holding cards, answering
  std::uint64_t card_ms = 0;                         // cards × time held
  std::uint64_t bound_ms = 0;                        // rights × time
  std::uint64_t charged_nano = 0;
};

class PlaceholderBook {
 public:
  static constexpr std::size_t kMost = 1024;
  enum class Refused : std::uint8_t { No, OtherOwner, OtherModel, Full };

  explicit PlaceholderBook(const PlaceholderPrice& price) : price_(price) {}
  // An engine of the pool, on so many cards; its index is the order of the calls.
  void add_engine(std::string model, std::uint32_t cards);

  // A right that is new gets `epoch`, or one more than any before.
  Refused put(const PlaceholderWish& wish, base::Time now, std::uint64_t epoch = 0);
  // Of an earlier process: the owner's next put goes on from there.
  void restore(const std::string& id, const std::string& owner, const LeaseCount& count);
  // From now on; what was used before keeps its price.
  void set_price(const PlaceholderPrice& price, base::Time now);
  const PlaceholderPrice& price() const { return price_; }
  // While shut, no engine is lent: those that are drain, wishes wait.
  void set_open(bool open, base::Time now);
  bool open() const { return open_; }
  // What it came to; its engines drain, and it is listed until they have.
  std::optional<PlaceholderStatus> remove(std::string_view id, base::Time now);
  // What an engine does, at every look: `usable` is false while its cards have failed.
  void on_engine(std::size_t engine, bool holds_cards, bool serving, bool usable, base::Time now);
  void on_timer(base::Time now);

  struct Action {
    enum class Kind : std::uint8_t { Stage, Wake, Drain };
    Kind kind{};
    std::size_t engine = 0;
  };
  std::optional<Action> poll_action();
  // Rights that are over, each once, with all that they came to.
  std::optional<PlaceholderStatus> poll_ended();

  std::optional<PlaceholderStatus> status(std::string_view id, base::Time now) const;
  std::vector<PlaceholderStatus> all(base::Time now) const;
  // Calls may go to it: woken for somebody, and not to be given back.
  bool lent(std::size_t engine) const { return engines_[engine].wanted; }
  std::uint32_t free(std::string_view model) const;

 private:
  struct Engine {
    std::string model;
    std::uint32_t cards = 1;
    std::string holder;  // a right's id; empty: nobody
    bool wanted = false, holds = false, serving = false, usable = true;
    base::Time since{};  // counted up to
  };
  struct Right {
    PlaceholderWish wish;
    base::Time bound{}, renewed{}, counted{};
    bool removed = false;
    LeaseCount past;  // charged at former prices, and up to where
    std::uint64_t card_ns = 0, bound_ns = 0;
  };
  struct Restored {
    std::string owner;
    LeaseCount count;
  };
  void grant(Right& right, std::uint32_t awake, base::Time now);
  void count(base::Time now);
  std::uint64_t charged(const Right& right) const;
  PlaceholderStatus status_of(const Right& right) const;

  PlaceholderPrice price_;
  std::vector<Engine> engines_;
  std::map<std::string, Right, std::less<>> rights_;
  std::map<std::string, Restored, std::less<>> restored_;
  std::vector<Action> actions_;
  std::vector<PlaceholderStatus> ended_;  // kMost at most
  std::uint64_t last_epoch_ = 0;
  bool open_ = true;
};

}  // namespace qanat::pool
