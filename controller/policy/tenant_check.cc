#include "controller/policy/tenant_check.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include "identifiers/ids/acl_rule.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::policy {
namespace {

constexpr std::uint32_t kMaxVni = 0xffffff;
constexpr std::uint32_t kMaxPlane = 15;

// IPv4 stands in the IPv4-mapped range, so that one comparison serves both families.
struct Prefix {
  std::array<std::uint8_t, 16> bytes{};
  unsigned length = 0;  // of 128

  bool host_bits_set() const {
    for (unsigned bit = length; bit < 128; ++bit) {
      if (bytes[bit / 8] >> (7 - bit % 8) & 1) return true;
    }
    return false;
  }
  bool overlaps(const Prefix& other) const {
    const unsigned common = std::min(length, other.length);
    for (unsigned bit = 0; bit < common; ++bit) {
      if ((bytes[bit / 8] ^ other.bytes[bit / 8]) >> (7 - bit % 8) & 1) return false;
    }
    return true;
  }
};

bool parse_address(const std::string& text, std::array<std::uint8_t, 16>& out, bool& v4) {
  in_addr four{};
  v4 = inet_pton(AF_INET, text.c_str(), &four) == 1;
  if (v4) {
    out = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&four), 4, out.begin() + 12);
    return true;
  }
  return inet_pton(AF_INET6, text.c_str(), out.data()) == 1;
}

std::optional<Prefix> parse_prefix(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  Prefix prefix;
  bool v4 = false;
  if (!parse_address(text.substr(0, slash), prefix.bytes, v4)) return std::nullopt;
  const std::string_view digits = std::string_view(text).substr(slash + 1);
  const auto end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, prefix.length);
  if (parsed.ec != std::errc{} || parsed.ptr != end || prefix.length > (v4 ? 32u : 128u)) return std::nullopt;
  if (v4) prefix.length += 96;
  return prefix;
}

}  // namespace

bool good_name(const std::string& text) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), good);
}

bool good_location(const std::string& text) {
  if (text.empty()) return true;
  std::size_t start = 0;
  while (start <= text.size()) {
    const std::size_t dot = std::min(text.find('.', start), text.size());
    if (!good_name(text.substr(start, dot - start))) return false;
    start = dot + 1;
  }
  return true;
}

std::vector<std::string> problems_of(const proto::v1::Tenant& tenant) {
  std::vector<std::string> problems;
  if (tenant.vni() == 0 || tenant.vni() > kMaxVni) {
    problems.push_back("vni " + std::to_string(tenant.vni()) + " is not 1 to 16777215");
  }
  if (!good_name(tenant.name()))
    problems.push_back("name '" + tenant.name() + "' is not a-z, 0-9 and '-', 1 to 63");
  std::set<std::string> seen;
  std::set<std::string> labels;
  std::vector<std::pair<std::string, Prefix>> all;
  for (const auto& member : tenant.members()) {
    const std::string name = member.node().empty() ? "n" + std::to_string(member.node_id()) : member.node();
    const std::string who = "member " + name + ": ";
    if (!seen.insert(name).second) problems.push_back(who + "named twice");
    std::vector<Prefix> own;
    for (const auto& text : member.prefixes()) {
      const auto prefix = parse_prefix(text);
      if (!prefix || prefix->host_bits_set()) {
        problems.push_back(who + "'" + text + "' is no prefix (host bits must be zero)");
      } else {
        own.push_back(*prefix);
      }
    }
    for (const auto& text : member.addresses()) {
      auto address = parse_prefix(text);
      if (!address) {
        problems.push_back(who + "'" + text + "' is no address with a prefix length");
        continue;
      }
      address->length = 128;
      own.push_back(*address);
    }
    for (const Prefix& prefix : own) {
      for (const auto& [other, taken] : all) {
        if (prefix.overlaps(taken)) problems.push_back(who + "overlaps with a prefix of " + other);
      }
    }
    for (const Prefix& prefix : own) all.emplace_back(name, prefix);
    for (const auto& label : member.labels()) {
      if (!ids::valid_label(label))
        problems.push_back(who + "label '" + label + "' is not a-z, 0-9, '-', '_', 1 to 32");
      labels.insert(label);
    }
  }
  if (labels.size() > 64) problems.push_back("more than 64 labels");
  for (const auto& rule : tenant.policy().rules()) {
    if (!ids::parse_acl_rule(rule))
      problems.push_back("policy: '" + rule +
                         "' is not \"allow|deny LABEL -> LABEL [tcp|udp|icmp|icmpv6[/PORT[-PORT]]]\"");
  }
  return problems;
}

std::vector<std::string> problems_of(const proto::v1::NodeRecord& record) {
  std::vector<std::string> problems;
  if (!good_name(record.name()))
    problems.push_back("name '" + record.name() + "' is not a-z, 0-9 and '-', 1 to 63");
  if (!good_location(record.location()))
    problems.push_back("location '" + record.location() + "' is not dotted labels");
  if (record.lines_size() > static_cast<int>(kMaxPlane))
    problems.push_back("more lines than there are planes");
  std::set<std::uint32_t> planes;
  for (const auto& line : record.lines()) {
    std::array<std::uint8_t, 16> bytes{};
    bool v4 = false;
    if (line.plane() == 0 || line.plane() > kMaxPlane || !planes.insert(line.plane()).second ||
        line.port() == 0 || line.port() > 0xffff || !parse_address(line.address(), bytes, v4)) {
      problems.push_back("line '" + line.name() + "': plane " + std::to_string(line.plane()) + " at " +
                         line.address() + ":" + std::to_string(line.port()) +
                         " is no line, or its plane is used twice");
    }
  }
  return problems;
}

}  // namespace qanat::policy
