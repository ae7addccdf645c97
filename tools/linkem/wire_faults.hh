// What goes wrong on the wire itself: packets are lost, doubled, or arrive with a bit flipped.
// Each is instantaneous and decides packet by packet from the packet's number, so it holds no packets.
#pragma once

#include "tools/linkem/chance.hh"
#include "tools/linkem/impairment.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

// Drops by a LossModel.
class Loss : public Impairment {
 public:
  explicit Loss(std::uint64_t seed) : chance_(seed, Chance::Purpose::Loss) {}
  // `next_number`: the number of the next packet to enter the link, the first that a list counts.
  void configure(const LossModel& model, std::uint64_t next_number);
  void push(Packet packet, base::Time now, Outlet& out) override;

 private:
  bool loses(std::uint64_t number);

  Chance chance_;
  LossModel model_;
  std::uint64_t counted_from_ = 1;
  bool bad_ = false;  // Gilbert–Elliott's state
};

// Sends some packets twice, the copy right behind the original.
class Duplicate : public Impairment {
 public:
  explicit Duplicate(std::uint64_t seed) : chance_(seed, Chance::Purpose::Duplicate) {}
  void configure(double share) { share_ = share; }
  std::uint64_t duplicated() const { return duplicated_; }
  void push(Packet packet, base::Time now, Outlet& out) override;

 private:
  Chance chance_;
  double share_ = 0;
  std::uint64_t duplicated_ = 0;
};

// Flips one bit of some packets, behind the IP header, so that they still find their way. A checksum that the
// sending kernel left partial is completed first, so what arrives is what a wire would have carried. `fixed`
// flips in the payload and repairs the checksum (a damage that only the application can see); a packet
// without TCP or UDP payload is then left alone.
class Corrupt : public Impairment {
 public:
  Corrupt(std::uint64_t seed, FramePool& pool) : chance_(seed, Chance::Purpose::Corrupt), pool_(pool) {}
  void configure(double share, bool fixed) { share_ = share, fixed_ = fixed; }
  std::uint64_t corrupted() const { return corrupted_; }
  void push(Packet packet, base::Time now, Outlet& out) override;

 private:
  void flip(Packet& packet);

  Chance chance_;
  FramePool& pool_;
  double share_ = 0;
  bool fixed_ = false;
  std::uint64_t corrupted_ = 0;
};

}  // namespace qanat::linkem
