#include "controller/northbound/audit_log.hh"

#include <fmt/format.h>

#include "base/hex.hh"
#include "controller/northbound/object_reader.hh"
#include "controller/session/join_token.hh"
#include "controller/store/store.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kLinePrefix = "audit/";
constexpr std::string_view kHead = "audit_head";  // "COUNT HASH"

std::string line_name(std::uint64_t sequence) { return fmt::format("{}{:016}", kLinePrefix, sequence); }

std::string sha256(std::string_view text) {
  const std::string hash = session::hash_of(text);
  return base::to_hex({reinterpret_cast<const std::uint8_t*>(hash.data()), hash.size()});
}

}  // namespace

// Before each line too: another controller of the same store may have written the last one.
void AuditLog::read_head() {
  const auto kept = store_.value(kHead);
  if (!kept) return;
  const std::size_t space = kept->find(' ');
  count_ = std::stoull(*kept);
  head_ = kept->substr(space + 1);
}

void AuditLog::add(const AuditEntry& entry, base::UnixSeconds now) {
  read_head();
  const std::uint64_t sequence = count_ + 1;
  Json json{{"sequence", sequence},     {"unix_s", now},
            {"who", entry.caller.name}, {"role", to_string(entry.caller.role)},
            {"from", entry.from},       {"action", entry.action}};
  if (!entry.caller.tenant.empty()) json["tenant"] = entry.caller.tenant;
  if (!entry.body.empty()) json["body_sha256"] = sha256(entry.body);
  json["status"] = entry.status;
  json["result"] = entry.result;
  json["previous"] = head_;
  const std::string text = text_of(json);
  std::string head = sha256(text);
  store_.set_values(
      {{line_name(sequence), text}, {std::string(kHead), fmt::format("{} {}", sequence, head)}});
  count_ = sequence;
  head_ = std::move(head);
}

std::vector<AuditLog::Line> AuditLog::lines(std::uint64_t after, std::size_t limit) const {
  std::vector<Line> out;
  for (auto& [name, text] : store_.values_of(kLinePrefix, after == 0 ? "" : line_name(after), limit)) {
    const std::string hash = sha256(text);
    out.push_back({std::stoull(name.substr(kLinePrefix.size())), std::move(text), hash});
  }
  return out;
}

std::uint64_t AuditLog::first_broken() const {
  std::string previous(64, '0');
  std::uint64_t expected = 1;
  for (;;) {
    const auto some = lines(expected - 1, 1000);
    for (const Line& line : some) {
      const Json json = Json::parse(line.text, nullptr, false);
      const bool sound = json.is_object() && line.sequence == expected &&
                         json.value("sequence", std::uint64_t{0}) == expected &&
                         json.value("previous", std::string()) == previous;
      if (!sound) return expected;
      previous = line.hash;
      ++expected;
    }
    if (some.size() < 1000) break;
  }
  return expected == count_ + 1 && previous == head_ ? 0 : expected;
}

}  // namespace qanat::northbound
