// Packets of a link, as tcpdump and Wireshark read them: one end's device, captured inside its namespace by libpcap.
#pragma once

#include <cstdint>
#include <string>

namespace qanat::lab {

struct CaptureOptions {
  std::string netns, device;
  std::string file = "-";   // "-": standard output
  std::string filter;       // libpcap's language; "" takes everything
  std::uint64_t count = 0;  // packets; 0: no end
  double seconds = 0;       // 0: no end
};

// Writes a pcap file with times in nanoseconds, each packet as soon as it was seen, until the count, the time, or
// interrupted() (daemon_api.hh). Returns how many packets it wrote. Throws std::runtime_error, std::system_error.
std::uint64_t capture(const CaptureOptions& options);

}  // namespace qanat::lab
