// PlaceholderBook: who has a right to start engines at a pool, who has started which, and for how long they held cards.
// Rights may be sold beyond the engines that there are (overbooked): first woken, first served. Sans-I/O: wishes and what
// engines do in; engines to stage, wake or drain out.
//
//   a right \ event   put, awake n         put, awake fewer, or not renewed for its ttl   remove
//   unknown           bound: Stage, Wake   bound: Stage                                   –
//   bound             Wake: its own that drain, then free ones, n at most   Drain         Drain; forgotten when all are free
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

struct PlaceholderStatus {
  PlaceholderWish wish;
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

  Refused put(const PlaceholderWish& wish, base::Time now);
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
    std::uint64_t card_ns = 0, bound_ns = 0;
  };
  void grant(Right& right, std::uint32_t awake, base::Time now);
  void count(base::Time now);
  PlaceholderStatus status_of(const Right& right) const;

  PlaceholderPrice price_;
  std::vector<Engine> engines_;
  std::map<std::string, Right, std::less<>> rights_;
  std::vector<Action> actions_;
};

}  // namespace qanat::pool
