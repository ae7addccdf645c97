// A UDP flow of one numbered packet a millisecond in both directions between two nodes' overlay addresses.
// It sees an outage the way a call would: as the longest time that nothing arrived.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace qanat::lab {

struct FlowEnd {
  std::string netns;
  std::string address;  // an IPv4 address of that namespace
};

// One direction's view, at its receiver.
struct FlowReport {
  std::uint64_t sent = 0, received = 0;
  double longest_gap_ms = 0;  // since mark(); a gap that is still open counts up to now
};

class OutageFlow {
 public:
  static constexpr int kPort = 5998;
  // Interactive traffic (AF41), so that it takes the paths that calls take.
  static constexpr int kTos = 34 << 2;
  static constexpr std::size_t kPayloadBytes = 16;

  // Starts at once, two threads. Throws std::system_error.
  OutageFlow(const FlowEnd& a, const FlowEnd& b);
  ~OutageFlow();
  OutageFlow(const OutageFlow&) = delete;
  OutageFlow& operator=(const OutageFlow&) = delete;

  // Begins a new window: forgets earlier gaps.
  void mark();
  FlowReport a_to_b() const;
  FlowReport b_to_a() const;
  // The longer of both directions' gaps, less the millisecond between two packets.
  double outage_ms() const;

 private:
  struct End;
  std::unique_ptr<End> a_, b_;
};

}  // namespace qanat::lab
