// Message: one DNS query read, and the room for its answer (RFC 1035 §4; RFC 6891 EDNS).
//
//    0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
//   |                      ID                       |
//   |QR|   Opcode  |AA|TC|RD|RA| Z|AD|CD|   RCODE   |
//   |                    QDCOUNT                    |   1, or it is malformed
//   |                    ANCOUNT                    |   0
//   |                    NSCOUNT                    |   0
//   |                    ARCOUNT                    |   an OPT among them, once
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gateway/access/dns/name.hh"

namespace qanat::dns {

enum class Rcode : std::uint8_t {
  NoError = 0,
  FormErr = 1,
  NxDomain = 3,
  NotImp = 4,
  Refused = 5,
  BadVers = 16,  // in the OPT's high bits
};

enum class Type : std::uint16_t {
  A = 1,
  Ns = 2,
  Soa = 6,
  Hinfo = 13,
  Txt = 16,
  Aaaa = 28,
  Opt = 41,
  Svcb = 64,
  Https = 65,
  Any = 255,
};

inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kPlainUdpBytes = 512;  // RFC 1035 §2.3.4
inline constexpr std::size_t kEdnsUdpBytes = 1232;  // never fragmented over IPv6's least MTU
inline constexpr std::size_t kTcpBytes = 65535;

enum class Reading : std::uint8_t {
  Good,
  TooShort,    // no header: nothing to answer to
  IsResponse,  // answering these would let two servers talk to each other for ever
  Malformed,   // FORMERR
  NotQuery,    // another opcode: NOTIMP
  BadVersion,  // EDNS above 0: BADVERS
};

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  bool edns = false;
  std::uint16_t udp_bytes = kPlainUdpBytes;  // what the asker takes over UDP
  std::string_view question;                 // as it came, of good queries: its case is echoed ("0x20")
  Type type{};
  std::uint16_t qclass = 0;

  std::string_view name() const { return {name_.data(), name_size_}; }  // wire form, lower case
  // Where each label of name() begins.
  std::span<const std::uint8_t> labels() const { return {labels_.data(), label_count_}; }

 private:
  friend Reading parse_query(std::string_view bytes, Query& query);
  friend bool read_name(std::string_view bytes, std::size_t& at, Query* into);
  std::array<char, kMaxNameBytes> name_{};
  std::array<std::uint8_t, 128> labels_{};
  std::size_t name_size_ = 0, label_count_ = 0;
};

// Total, allocates nothing. `id` and `recursion_desired` are set unless TooShort.
Reading parse_query(std::string_view bytes, Query& query);

// Writes big-endian into a string that the caller keeps from answer to answer.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) { out_.clear(); }
  void u8(std::uint8_t v) { out_ += static_cast<char>(v); }
  void u16(std::uint16_t v) {
    u8(static_cast<std::uint8_t>(v >> 8));
    u8(static_cast<std::uint8_t>(v));
  }
  void u32(std::uint32_t v) {
    u16(static_cast<std::uint16_t>(v >> 16));
    u16(static_cast<std::uint16_t>(v));
  }
  void bytes(std::string_view v) { out_ += v; }
  void put_u16(std::size_t at, std::uint16_t v) {
    out_[at] = static_cast<char>(v >> 8);
    out_[at + 1] = static_cast<char>(v);
  }
  std::size_t size() const { return out_.size(); }

 private:
  std::string& out_;
};

}  // namespace qanat::dns
