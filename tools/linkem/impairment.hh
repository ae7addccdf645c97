// The contract of everything that can happen to a packet on a link: packets and time in, packets and times
// out. Impairments nest in a Chain, so a link is a list of them; none reads a clock, all chance comes from a
// seed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/time.hh"

namespace qanat::linkem {

inline constexpr base::Time kNever = base::Time::max();

struct Packet {
  std::vector<std::uint8_t> bytes;  // a whole IP packet
  base::Time at{};                  // when it entered or left the last stage: exact, not when somebody looked
};

// Rules: calls' times never go back; before push(…, now) everything due by `now` was popped (Chain sees to
// it).
class Impairment {
 public:
  virtual ~Impairment() = default;
  virtual void push(Packet packet, base::Time now) = 0;
  // When pop has something to give, or kNever.
  virtual base::Time next_timeout() const = 0;
  // A packet due by `now`, earliest first, its `at` set to the instant it left.
  virtual std::optional<Packet> pop(base::Time now) = 0;
  // Packets inside.
  virtual std::size_t pending() const = 0;
};

// Uniform, normal and yes/no draws that are the same on every standard library.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }  // [0, 1)
  bool happens(double share) { return uniform() < share; }                     // one draw, whatever the share
  double normal();  // mean 0, deviation 1; two draws

 private:
  std::mt19937_64 engine_;
};

// Stages in series. Events are handled strictly in time order, so a stage sees true arrival times
// however rarely the caller looks.
class Chain : public Impairment {
 public:
  explicit Chain(std::vector<std::unique_ptr<Impairment>> stages) : stages_(std::move(stages)) {}
  void push(Packet packet, base::Time now) override;
  base::Time next_timeout() const override;
  std::optional<Packet> pop(base::Time now) override;
  std::size_t pending() const override;
  // Moves everything due by `now` towards the end; pop does it too.
  void advance(base::Time now);

 private:
  std::vector<std::unique_ptr<Impairment>> stages_;
  std::deque<Packet> ready_;
};

}  // namespace qanat::linkem
