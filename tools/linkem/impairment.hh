// The contract of everything that can happen to a packet on a link: packets and time in, packets and times
// out. Impairments nest in a Chain, so a link is a list of them; none reads a clock, all chance comes from a
// seed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "tools/linkem/packet.hh"
#include "tools/linkem/ring.hh"

namespace qanat::linkem {

inline constexpr base::Time kNever = base::Time::max();

enum class DropReason : std::uint8_t { QueueFull, Loss, Down, Aqm, Mtu, Nat };
inline constexpr std::size_t kDropReasons = 6;
std::string_view to_string(DropReason reason);

// Where an impairment puts what it is done with. `at` is the instant at which that happens.
class Outlet {
 public:
  virtual void forward(Packet packet, base::Time at) = 0;
  virtual void drop(const Packet& packet, DropReason reason, base::Time at) = 0;
  // A new packet that goes back to the sender at once (ICMP's "too big").
  virtual void reply(FrameRef packet, base::Time at) = 0;

 protected:
  ~Outlet() = default;
};

// Rules: the times of calls never go back; before push(…, now) everything due before `now` left through
// on_timer (Chain sees to it). A Packet may be a run of segments: whatever acts on packets acts on each.
class Impairment {
 public:
  virtual ~Impairment() = default;
  virtual void push(Packet packet, base::Time now, Outlet& out) = 0;
  // When on_timer has something to do, or kNever.
  virtual base::Time next_timeout() const { return kNever; }
  // Lets go of everything due by `now`, in order.
  virtual void on_timer(base::Time, Outlet&) {}
  // Packets inside, segments counted.
  virtual std::size_t pending() const { return 0; }
};

// Stages in series. Events are handled strictly in time order, so a stage sees true arrival times however
// rarely the caller looks. Of equal times the later stage goes first: a queue's departure frees its place
// before an arrival.
class Chain {
 public:
  // What the chain tells its owner; either may be empty.
  using OnDrop = std::function<void(const Packet&, DropReason, base::Time)>;
  using OnReply = std::function<void(FrameRef, base::Time)>;
  explicit Chain(OnDrop on_drop = {}, OnReply on_reply = {});

  // Not owned. May change while packets are inside, as long as stages that hold some stay in.
  void set_stages(std::vector<Impairment*> stages) { stages_ = std::move(stages); }

  void push(Packet packet, base::Time now);
  base::Time next_timeout() const;
  // A packet due by `now`, earliest first, its `at` set to the instant it left.
  std::optional<Packet> pop(base::Time now);
  // The next that pop would give, if the chain has worked it out already.
  const Packet* peek() const { return ready_.empty() ? nullptr : &ready_.front(); }
  // Packets inside, those that pop would give included.
  std::size_t pending() const;
  // Moves everything due by `now` towards the end; push and pop do it too.
  void advance(base::Time now);

 private:
  // The way out of stage `next` − 1 into stage `next`.
  class Step final : public Outlet {
   public:
    Step(Chain& chain, std::size_t next) : chain_(chain), next_(next) {}
    void forward(Packet packet, base::Time at) override { chain_.enter(next_, std::move(packet), at); }
    void drop(const Packet& packet, DropReason reason, base::Time at) override {
      if (chain_.on_drop_) chain_.on_drop_(packet, reason, at);
    }
    void reply(FrameRef packet, base::Time at) override {
      if (chain_.on_reply_) chain_.on_reply_(std::move(packet), at);
    }

   private:
    Chain& chain_;
    std::size_t next_;
  };
  void enter(std::size_t stage, Packet packet, base::Time at);

  OnDrop on_drop_;
  OnReply on_reply_;
  std::vector<Impairment*> stages_;
  Ring<Packet> ready_;
  std::size_t ready_packets_ = 0;
};

}  // namespace qanat::linkem
