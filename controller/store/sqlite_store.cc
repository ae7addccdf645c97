#include "controller/store/sqlite_store.hh"

#include <algorithm>

namespace qanat::store {
namespace {

constexpr std::int64_t kSchema = 3;
constexpr std::string_view kSchema1 = R"(
CREATE TABLE value(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE join_token(hash BLOB PRIMARY KEY, name TEXT NOT NULL, relay INTEGER NOT NULL, expires INTEGER NOT NULL,
                        used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE member(id INTEGER PRIMARY KEY, name TEXT NOT NULL, record BLOB NOT NULL, fingerprint BLOB NOT NULL,
                    ca_public BLOB NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX member_name ON member(name) WHERE revoked = 0;
CREATE TABLE tenant(name TEXT PRIMARY KEY, vni INTEGER NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE relay_key(relay INTEGER NOT NULL, week INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY(relay, week)) WITHOUT ROWID;
CREATE TABLE pushed(id INTEGER PRIMARY KEY, version INTEGER NOT NULL, content BLOB NOT NULL, acknowledged INTEGER NOT NULL);
CREATE TABLE reported(domain INTEGER PRIMARY KEY, report BLOB NOT NULL);
PRAGMA user_version = 1;
)";
// Certificates are renewed, and CAs change.
constexpr std::string_view kSchema2 = R"(
ALTER TABLE member ADD COLUMN previous BLOB NOT NULL DEFAULT x'';
ALTER TABLE member ADD COLUMN issuer BLOB NOT NULL DEFAULT x'';
PRAGMA user_version = 2;
)";
// Which of a member's certificates is the newer one.
constexpr std::string_view kSchema3 = R"(
ALTER TABLE member ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 3;
)";

template <class Message>
Message parsed(const std::string& bytes, const char* what) {
  Message message;
  if (!message.ParseFromString(bytes)) throw StoreError(std::string("state database: broken ") + what);
  return message;
}

}  // namespace

SqliteStore::SqliteStore(const std::string& file) : db_(file) {
  const std::int64_t version = db_.user_version();
  if (version > kSchema) {
    throw StoreError("state database " + file + ": schema " + std::to_string(version) +
                     " is newer than this program knows (" + std::to_string(kSchema) + ")");
  }
  if (version == kSchema) return;
  Transaction transaction(db_);
  if (version < 1) db_.execute(kSchema1);
  if (version < 2) db_.execute(kSchema2);
  db_.execute(kSchema3);
  transaction.commit();
}

std::optional<std::string> SqliteStore::value(std::string_view name) {
  Statement s = db_.prepare("SELECT value FROM value WHERE name = ?");
  s.bind_text(name);
  if (!s.step()) return std::nullopt;
  return s.bytes(0);
}

void SqliteStore::set_value(std::string_view name, std::string_view value) {
  Statement s = db_.prepare("INSERT OR REPLACE INTO value(name, value) VALUES(?, ?)");
  s.bind_text(name).bind_blob(value).run();
}

void SqliteStore::set_values(const std::vector<std::pair<std::string, std::string>>& values) {
  Transaction transaction(db_);
  for (const auto& [name, value] : values) {
    if (!value.empty()) {
      set_value(name, value);
      continue;
    }
    Statement s = db_.prepare("DELETE FROM value WHERE name = ?");
    s.bind_text(name).run();
  }
  transaction.commit();
}

void SqliteStore::add_join_token(std::string_view hash, const JoinToken& token) {
  Statement s = db_.prepare("INSERT INTO join_token(hash, name, relay, expires) VALUES(?, ?, ?, ?)");
  s.bind_blob(hash)
      .bind_text(token.name)
      .bind(token.relay)
      .bind(static_cast<std::int64_t>(token.expires))
      .run();
}

TokenVerdict SqliteStore::check_join_token(std::string_view hash, std::string_view name,
                                           base::UnixSeconds now, bool& relay) {
  Statement s = db_.prepare("SELECT name, relay, expires, used FROM join_token WHERE hash = ?");
  s.bind_blob(hash);
  if (!s.step()) return TokenVerdict::Unknown;
  relay = s.integer(1) != 0;
  if (s.integer(3) != 0) return TokenVerdict::Used;
  if (static_cast<base::UnixSeconds>(s.integer(2)) <= now) return TokenVerdict::Expired;
  return s.bytes(0) == name ? TokenVerdict::Good : TokenVerdict::OtherName;
}

std::optional<Member> SqliteStore::enrol(std::string_view token_hash, base::UnixSeconds now, Member member,
                                         std::uint32_t lowest, std::uint32_t highest,
                                         const std::function<void(Member&)>& finish) {
  Transaction transaction(db_);
  bool relay = false;
  if (check_join_token(token_hash, member.record.name(), now, relay) != TokenVerdict::Good)
    return std::nullopt;
  {
    Statement s = db_.prepare("UPDATE join_token SET used = 1 WHERE hash = ?");
    s.bind_blob(token_hash).run();
  }
  {
    Statement s = db_.prepare("UPDATE member SET revoked = 1 WHERE name = ? AND revoked = 0");
    s.bind_text(member.record.name()).run();
  }
  if (lowest == highest) {  // a domain keeps its number when it enrols anew
    member.id = lowest;
    Statement s = db_.prepare("DELETE FROM member WHERE id = ? AND revoked = 1");
    s.bind(lowest).run();
  } else {
    Statement s = db_.prepare("SELECT coalesce(max(id), 0) FROM member");
    s.step();
    member.id = std::max(lowest, static_cast<std::uint32_t>(s.integer(0)) + 1);
  }
  if (member.id > highest) return std::nullopt;
  finish(member);
  Statement s = db_.prepare(
      "INSERT INTO member(id, name, record, fingerprint, ca_public, issuer, not_before) VALUES(?, ?, ?, ?, "
      "?, ?, ?)");
  s.bind(member.id).bind_text(member.record.name()).bind_blob(member.record.SerializeAsString());
  s.bind_blob(member.fingerprint).bind_blob(member.ca_public).bind_blob(member.issuer);
  s.bind(member.not_before).run();
  transaction.commit();
  return member;
}

std::vector<Member> SqliteStore::members() {
  std::vector<Member> out;
  Statement s = db_.prepare(
      "SELECT id, record, fingerprint, ca_public, revoked, previous, issuer, not_before FROM member ORDER BY "
      "id");
  while (s.step()) {
    out.push_back({static_cast<std::uint32_t>(s.integer(0)),
                   parsed<proto::v1::NodeRecord>(s.bytes(1), "node record"), s.bytes(2), s.bytes(3),
                   s.integer(4) != 0, s.bytes(5), s.bytes(6), static_cast<base::UnixSeconds>(s.integer(7))});
  }
  return out;
}

void SqliteStore::update_record(std::uint32_t id, const proto::v1::NodeRecord& record) {
  Statement s = db_.prepare("UPDATE member SET record = ? WHERE id = ?");
  s.bind_blob(record.SerializeAsString()).bind(id).run();
}

void SqliteStore::revoke(std::uint32_t id) {
  Statement s = db_.prepare("UPDATE member SET revoked = 1 WHERE id = ?");
  s.bind(id).run();
}

void SqliteStore::update_keys(const Member& member) {
  Statement s = db_.prepare(
      "UPDATE member SET record = ?, fingerprint = ?, ca_public = ?, previous = ?, issuer = ?, not_before = "
      "? WHERE id = ?");
  s.bind_blob(member.record.SerializeAsString()).bind_blob(member.fingerprint).bind_blob(member.ca_public);
  s.bind_blob(member.previous).bind_blob(member.issuer).bind(member.not_before).bind(member.id).run();
}

std::vector<proto::v1::Tenant> SqliteStore::tenants() {
  std::vector<proto::v1::Tenant> out;
  Statement s = db_.prepare("SELECT record FROM tenant ORDER BY vni");
  while (s.step()) out.push_back(parsed<proto::v1::Tenant>(s.bytes(0), "tenant"));
  return out;
}

void SqliteStore::put_tenant(const proto::v1::Tenant& tenant) {
  Statement s = db_.prepare("INSERT OR REPLACE INTO tenant(name, vni, record) VALUES(?, ?, ?)");
  s.bind_text(tenant.name()).bind(tenant.vni()).bind_blob(tenant.SerializeAsString()).run();
}

void SqliteStore::remove_tenant(std::string_view name) {
  Statement s = db_.prepare("DELETE FROM tenant WHERE name = ?");
  s.bind_text(name).run();
}

std::vector<RelayKeyRow> SqliteStore::relay_keys() {
  std::vector<RelayKeyRow> out;
  Statement s = db_.prepare("SELECT relay, week, key FROM relay_key ORDER BY relay, week");
  while (s.step()) {
    RelayKeyRow row{static_cast<std::uint32_t>(s.integer(0)), static_cast<std::uint64_t>(s.integer(1)), {}};
    const std::string key = s.bytes(2);
    if (key.size() != row.key.size()) throw StoreError("state database: broken relay key");
    std::copy(key.begin(), key.end(), row.key.begin());
    out.push_back(row);
  }
  return out;
}

void SqliteStore::add_relay_key(const RelayKeyRow& row) {
  Statement s = db_.prepare("INSERT INTO relay_key(relay, week, key) VALUES(?, ?, ?)");
  s.bind(row.relay).bind(static_cast<std::int64_t>(row.week));
  s.bind_blob({reinterpret_cast<const char*>(row.key.data()), row.key.size()}).run();
}

void SqliteStore::remove_relay_keys_before(std::uint64_t week) {
  Statement s = db_.prepare("DELETE FROM relay_key WHERE week < ?");
  s.bind(static_cast<std::int64_t>(week)).run();
}

std::vector<Pushed> SqliteStore::pushed() {
  std::vector<Pushed> out;
  Statement s = db_.prepare("SELECT id, version, content, acknowledged FROM pushed ORDER BY id");
  while (s.step()) {
    out.push_back({static_cast<std::uint32_t>(s.integer(0)), static_cast<std::uint64_t>(s.integer(1)),
                   s.bytes(2), s.integer(3) != 0});
  }
  return out;
}

void SqliteStore::set_pushed(const std::vector<Pushed>& rows) {
  if (rows.empty()) return;
  Transaction transaction(db_);
  for (const Pushed& row : rows) {
    Statement s =
        db_.prepare("INSERT OR REPLACE INTO pushed(id, version, content, acknowledged) VALUES(?, ?, ?, ?)");
    s.bind(row.id)
        .bind(static_cast<std::int64_t>(row.version))
        .bind_blob(row.content)
        .bind(row.acknowledged)
        .run();
  }
  transaction.commit();
}

void SqliteStore::set_acknowledged(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& versions) {
  Transaction transaction(db_);
  for (const auto& [id, version] : versions) {
    Statement s = db_.prepare("UPDATE pushed SET acknowledged = 1 WHERE id = ? AND version = ?");
    s.bind(id).bind(static_cast<std::int64_t>(version)).run();
  }
  transaction.commit();
}

void SqliteStore::set_reported(std::uint32_t domain, std::string_view report) {
  Statement s = db_.prepare("INSERT OR REPLACE INTO reported(domain, report) VALUES(?, ?)");
  s.bind(domain).bind_blob(report).run();
}

std::vector<std::pair<std::uint32_t, std::string>> SqliteStore::reported() {
  std::vector<std::pair<std::uint32_t, std::string>> out;
  Statement s = db_.prepare("SELECT domain, report FROM reported ORDER BY domain");
  while (s.step()) out.emplace_back(static_cast<std::uint32_t>(s.integer(0)), s.bytes(1));
  return out;
}

std::vector<std::pair<std::string, std::string>> SqliteStore::values_of(std::string_view prefix,
                                                                        std::string_view after,
                                                                        std::size_t limit) {
  std::vector<std::pair<std::string, std::string>> out;
  Statement s = db_.prepare(
      "SELECT name, value FROM value WHERE name > ? AND name >= ? AND substr(name, 1, length(?)) = ? "
      "ORDER BY name LIMIT ?");
  s.bind_text(after).bind_text(prefix).bind_text(prefix).bind_text(prefix);
  s.bind(static_cast<std::int64_t>(limit));
  while (s.step()) out.emplace_back(s.bytes(0), s.bytes(1));
  return out;
}

void SqliteStore::begin_batch() {
  changed_before_ = db_.changes();
  batch_.emplace(db_);
}

// A full disk makes SQLite take the whole transaction back at once: nothing is lost by that where nothing was in it yet.
void SqliteStore::end_batch() {
  if (db_.in_transaction())
    batch_->commit();
  else if (db_.changes() != changed_before_)
    throw StoreError("state database: a batch was taken back");
  batch_.reset();
}

}  // namespace qanat::store
