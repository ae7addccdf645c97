#include "controller/store/etcd_rows.hh"

#include <nlohmann/json.hpp>

#include "base/hex.hh"

namespace qanat::store {

using nlohmann::json;

std::string base64_of(std::string_view bytes) {
  return base::to_base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

namespace {

// One row, read field by field; the first that is not there or of another kind is named.
class Reader {
 public:
  Reader(std::string_view what, std::string_view row) : what_(what), row_(json::parse(row, nullptr, false)) {}
  template <class T>
  T get(const char* field) const {
    const auto at = row_.is_object() ? row_.find(field) : row_.end();
    if (at == row_.end()) broken(field);
    try {
      return at->get<T>();
    } catch (const json::exception&) {
      broken(field);
    }
  }
  // What releases before this did not write.
  template <class T>
  T get_or(const char* field, T otherwise) const {
    return row_.is_object() && row_.contains(field) ? get<T>(field) : otherwise;
  }
  std::string bytes(const char* field) const {
    const auto decoded = base::from_base64(get<std::string>(field));
    if (!decoded) broken(field);
    return {decoded->begin(), decoded->end()};
  }
  [[noreturn]] void broken(const char* field) const {
    throw StoreError("etcd: broken " + std::string(what_) + ": its " + field);
  }

 private:
  std::string_view what_;
  json row_;
};

}  // namespace

std::string row_of(const Member& member) {
  return json{{"name", member.record.name()},
              {"record", base64_of(member.record.SerializeAsString())},
              {"certificate", base64_of(member.fingerprint)},
              {"previous", base64_of(member.previous)},
              {"issuer", base64_of(member.issuer)},
              {"ca_public", base64_of(member.ca_public)},
              {"not_before", member.not_before},
              {"revoked", member.revoked}}
      .dump();
}

Member member_of(std::uint32_t id, std::string_view row) {
  const Reader read("member", row);
  Member member;
  member.id = id;
  if (!member.record.ParseFromString(read.bytes("record"))) read.broken("record");
  member.fingerprint = read.bytes("certificate");
  member.previous = read.bytes("previous");
  member.issuer = read.bytes("issuer");
  member.ca_public = read.bytes("ca_public");
  member.not_before = read.get_or<base::UnixSeconds>("not_before", 0);
  member.revoked = read.get<bool>("revoked");
  return member;
}

std::string row_of(const JoinToken& token, bool used) {
  return json{{"name", token.name}, {"relay", token.relay}, {"expires", token.expires}, {"used", used}}
      .dump();
}

JoinToken token_of(std::string_view row, bool& used) {
  const Reader read("join token", row);
  used = read.get<bool>("used");
  return {read.get<std::string>("name"), read.get<bool>("relay"), read.get<base::UnixSeconds>("expires")};
}

std::string row_of(const Pushed& pushed) {
  return json{{"version", pushed.version},
              {"acknowledged", pushed.acknowledged},
              {"content", base64_of(pushed.content)}}
      .dump();
}

Pushed pushed_of(std::uint32_t id, std::string_view row) {
  const Reader read("push", row);
  return {id, read.get<std::uint64_t>("version"), read.bytes("content"), read.get<bool>("acknowledged")};
}

}  // namespace qanat::store
