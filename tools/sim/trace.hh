// Trace: everything that happened, as compact records; its SHA-256 says whether two runs were the same, byte for byte.
// Written to a file only when one is asked for; the hash is always taken.
//
//   file   = "QSIM1\n" ‖ seed u64 ‖ shard blocks
//   block  = records of one shard over one window of virtual time; shards in order, windows in order
//   record = kind u8 ‖ time ‖ fields         time: varint, nanoseconds since this shard's record before
//     1 sent       from ‖ to ‖ plane ‖ size ‖ digest u32     a datagram was handed to a wire
//     2 arrived    from ‖ to ‖ digest u32                    it came out at the other end
//     3 message    from ‖ to ‖ body ‖ size ‖ digest u32      control protocol; ids as below; body: Envelope's case
//     4 installed  box ‖ epoch ‖ version                     a configuration came into force
//     5 delivered  box ‖ vni ‖ flow ‖ number                 a tenant's packet
//     6 event      box ‖ kind ‖ peer ‖ path                  the forwarder's (forwarder/status.hh)
//     7 fault      number ‖ kind ‖ target ‖ on               begin (1) and end (0)
// All fields are varints (LEB128) unless said otherwise; fixed ones are little-endian. Boxes are numbered as in the
// topology from 1; controllers from 1 behind the last box.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::sim {

enum class Record : std::uint8_t { Sent = 1, Arrived, Message, Installed, Delivered, Event, Fault };

// 64 bits of any bytes: for telling runs apart, not against anybody.
std::uint64_t digest_of(std::span<const std::uint8_t> bytes);

// One shard's records since they were last taken.
class TraceBuffer {
 public:
  explicit TraceBuffer(base::Time start) : last_(start) {}
  void add(Record kind, base::Time at, std::initializer_list<std::uint64_t> fields);
  void add(Record kind, base::Time at, std::initializer_list<std::uint64_t> fields, std::uint32_t digest);
  std::span<const std::uint8_t> bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  void begin(Record kind, base::Time at);
  void varint(std::uint64_t value);
  std::vector<std::uint8_t> bytes_;
  base::Time last_;
};

class TraceWriter {
 public:
  // Empty file: hash only. Throws std::system_error that names it.
  TraceWriter(const std::string& file, std::uint64_t seed);
  ~TraceWriter();
  void append(std::span<const std::uint8_t> bytes);
  // Closes the file. Throws when it could not be written whole.
  std::string finish();  // SHA-256 as hex
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Hash;
  std::unique_ptr<Hash> hash_;
  std::FILE* file_ = nullptr;
  std::string name_;
  std::uint64_t bytes_ = 0;
};

}  // namespace qanat::sim
