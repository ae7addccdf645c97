#include "gateway/access/dns/message.hh"

namespace qanat::dns {
namespace {

std::uint16_t u16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                    static_cast<unsigned char>(bytes[at + 1]));
}

}  // namespace

// Compression makes no sense before an answer: a pointer is malformed. `into` null: only skipped.
bool read_name(std::string_view bytes, std::size_t& at, Query* into) {
  const std::size_t start = at;
  if (into != nullptr) into->name_size_ = into->label_count_ = 0;
  for (;;) {
    if (at >= bytes.size()) return false;
    const auto size = static_cast<unsigned char>(bytes[at]);
    if (size > kMaxLabelBytes || at + size >= bytes.size() || at + size + 1 - start > kMaxNameBytes)
      return false;
    if (into != nullptr) {
      if (size != 0) into->labels_[into->label_count_++] = static_cast<std::uint8_t>(into->name_size_);
      into->name_[into->name_size_++] = static_cast<char>(size);
      for (std::size_t i = 1; i <= size; ++i) {
        const char c = bytes[at + i];
        into->name_[into->name_size_++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      }
    }
    at += size + 1u;
    if (size == 0) return true;
  }
}

Reading parse_query(std::string_view bytes, Query& query) {
  query.edns = false;
  query.udp_bytes = kPlainUdpBytes;
  query.question = {};
  if (bytes.size() < kHeaderBytes) return Reading::TooShort;
  query.id = u16(bytes, 0);
  const std::uint16_t flags = u16(bytes, 2);
  query.recursion_desired = (flags & 0x0100) != 0;
  if ((flags & 0x8000) != 0) return Reading::IsResponse;
  if ((flags & 0x7800) != 0) return Reading::NotQuery;
  if (u16(bytes, 4) != 1 || u16(bytes, 6) != 0 || u16(bytes, 8) != 0) return Reading::Malformed;

  std::size_t at = kHeaderBytes;
  if (!read_name(bytes, at, &query) || at + 4 > bytes.size()) return Reading::Malformed;
  query.type = static_cast<Type>(u16(bytes, at));
  query.qclass = u16(bytes, at + 2);
  at += 4;
  const std::string_view question = bytes.substr(kHeaderBytes, at - kHeaderBytes);

  bool version_known = true;
  for (std::uint16_t left = u16(bytes, 10); left > 0; --left) {
    const std::size_t owner = at;
    if (!read_name(bytes, at, nullptr) || at + 10 > bytes.size()) return Reading::Malformed;
    const bool root = at - owner == 1;
    const auto type = static_cast<Type>(u16(bytes, at));
    const std::uint16_t udp_bytes = u16(bytes, at + 2);
    const auto version = static_cast<unsigned char>(bytes[at + 5]);
    const std::size_t rdata = u16(bytes, at + 8);
    at += 10;
    if (at + rdata > bytes.size()) return Reading::Malformed;
    at += rdata;
    if (type != Type::Opt) continue;
    if (!root || query.edns) return Reading::Malformed;
    query.edns = true;
    query.udp_bytes = udp_bytes < kPlainUdpBytes ? static_cast<std::uint16_t>(kPlainUdpBytes) : udp_bytes;
    version_known = version == 0;
  }
  if (at != bytes.size()) return Reading::Malformed;
  query.question = question;
  return version_known ? Reading::Good : Reading::BadVersion;
}

}  // namespace qanat::dns
