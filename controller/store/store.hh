// Store: everything a controller must not forget: keys, members, join tokens, tenants, relay keys, what was pushed.
// Measurements and computed tables are not state: they are measured and computed again. Everything is on one thread.
// One controller keeps it in a file (sqlite_store.hh); several that stand in for each other, in etcd (etcd_store.hh).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::store {

// What a call throws when the store cannot be used: the attempt, and why.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A node of this domain, or, at the global level, a domain (then `id` is its number). Rows are never deleted, so ids are
// never used again.
struct Member {
  std::uint32_t id = 0;
  proto::v1::NodeRecord record;  // of a domain: name and domain_id alone
  std::string fingerprint;       // SHA-256 of the certificate it was issued, 32 bytes
  std::string ca_public;         // of a domain: its CAs' Ed25519 keys, 32 bytes each
  bool revoked = false;
  std::string previous{};  // the certificate before, good until the newer one was seen; may be empty
  // SHA-256 of the CA certificate that signed the newer one; empty: the first CA there was.
  std::string issuer{};
  // When `fingerprint` becomes good, as it says: a member's next one does later. 0: a release before this did not note it.
  base::UnixSeconds not_before = 0;
};

struct JoinToken {
  std::string name;  // of the member that may join with it
  bool relay = false;
  base::UnixSeconds expires = 0;
};
enum class TokenVerdict : std::uint8_t { Good, Unknown, Used, Expired, OtherName };

// What was sent last to a member (its whole configuration or directive, serialised), and whether it was acknowledged.
struct Pushed {
  std::uint32_t id = 0;
  std::uint64_t version = 0;
  std::string content;
  bool acknowledged = false;
};

struct RelayKeyRow {
  std::uint32_t relay = 0;
  std::uint64_t week = 0;
  std::array<std::uint8_t, 32> key{};
};

// A call that returned is durable (in a Batch: with it); one that throws StoreError has changed nothing.
class Store {
 public:
  virtual ~Store() = default;
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Small named values: keys, certificates, the epoch.
  virtual std::optional<std::string> value(std::string_view name) = 0;
  virtual void set_value(std::string_view name, std::string_view value) = 0;
  // All or none; an empty value erases its name.
  virtual void set_values(const std::vector<std::pair<std::string, std::string>>& values) = 0;

  // Join tokens are kept as SHA-256 of their secret.
  virtual void add_join_token(std::string_view hash, const JoinToken& token) = 0;
  // For telling why a token is refused; `member` must be its name.
  virtual TokenVerdict check_join_token(std::string_view hash, std::string_view name, base::UnixSeconds now,
                                        bool& relay) = 0;

  // In one transaction: the token is used up, a member of the same name is revoked, and the member is added. `lowest`
  // and `highest` bound the id (equal: that id exactly); finish() fills in what depends on the id (certificate,
  // signature) before it is written. nullopt when the token is no longer good or ids have run out.
  virtual std::optional<Member> enrol(std::string_view token_hash, base::UnixSeconds now, Member member,
                                      std::uint32_t lowest, std::uint32_t highest,
                                      const std::function<void(Member&)>& finish) = 0;
  virtual std::vector<Member> members() = 0;
  virtual void update_record(std::uint32_t id, const proto::v1::NodeRecord& record) = 0;
  virtual void revoke(std::uint32_t id) = 0;
  // Record, certificates and CA keys as they stand in `member`.
  virtual void update_keys(const Member& member) = 0;

  virtual std::vector<proto::v1::Tenant> tenants() = 0;
  virtual void put_tenant(const proto::v1::Tenant& tenant) = 0;
  virtual void remove_tenant(std::string_view name) = 0;

  virtual std::vector<RelayKeyRow> relay_keys() = 0;
  virtual void add_relay_key(const RelayKeyRow& row) = 0;
  virtual void remove_relay_keys_before(std::uint64_t week) = 0;

  virtual std::vector<Pushed> pushed() = 0;
  // All or none of them.
  virtual void set_pushed(const std::vector<Pushed>& rows) = 0;
  // Of (id, version), those that are what was pushed last.
  virtual void set_acknowledged(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& versions) = 0;

  // At the global level: the newest report's nodes of a domain.
  virtual void set_reported(std::uint32_t domain, std::string_view report) = 0;
  virtual std::vector<std::pair<std::uint32_t, std::string>> reported() = 0;

  // Values whose names begin with `prefix` and come after `after` (empty: from the first), in the order of their names,
  // at most `limit`.
  virtual std::vector<std::pair<std::string, std::string>> values_of(std::string_view prefix,
                                                                     std::string_view after,
                                                                     std::size_t limit) = 0;

 private:
  friend class Batch;
  // Between them, calls become durable together at the end. Throws StoreError where they did not.
  virtual void begin_batch() = 0;
  virtual void end_batch() = 0;
};

// While it lives, what is written becomes durable at its end, together, with one wait for the disk or for etcd (where it is
// more than etcd takes at once, the first calls before the last). Nobody is told of it before: no turn of the event loop is
// taken in between, and sessions write in later turns. A batch that cannot be ended ends the process, which then knows more
// than its store; what nobody was told has not happened. One at a time.
class Batch {
 public:
  explicit Batch(Store& store) : store_(store) { store_.begin_batch(); }
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

 private:
  Store& store_;
};

}  // namespace qanat::store
