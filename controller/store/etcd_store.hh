// EtcdStore: the store of controllers that stand in for each other: all of it in memory, and every change first in etcd.
// A standby follows what the leader writes; whoever leads writes in transactions that hold only while its leader key does.
//
// Under "<prefix>" (say "/qanat/domain-7/"):
//   leader          who leads, under its lease            decision   the last push: epoch, sequence, digest of all of it
//   value/NAME      keys, certificates, the epoch         token/HASH  join tokens       member/ID   nodes or domains
//   tenant/NAME     NodeConfig's Tenant                   relay_key/RELAY/WEEK          reported/DOMAIN, pushed/ID  at the
//                                                         global level: what domains said, what they were told
// Configurations of nodes are not kept: a new leader asks the nodes what they hold. Measurements and tables never are.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "controller/store/etcd_batch.hh"
#include "controller/store/etcd_client.hh"
#include "controller/store/store.hh"

namespace qanat::store {

class EtcdStore final : public Store {
 public:
  struct Role {
    std::string prefix;           // ends in "/"
    bool keeps_contents = false;  // of what is pushed: at the global level, where there are few
  };
  static std::string leader_key(const std::string& prefix) { return prefix + "leader"; }

  // Empty until load().
  EtcdStore(EtcdConfig config, Role role);
  ~EtcdStore() override;

  // Reads everything; the revision it stands at. Throws StoreError.
  std::int64_t load();
  // What a watch told.
  void apply(const EtcdNews& news);
  // The leader's own words about itself; empty: nobody leads.
  std::string leader() const;

  // From now on this controller writes: under `guard`, while holds() says that its lease stands. Reads everything anew and
  // begins a new epoch. `deposed` is called, with the reason, instead of a write that etcd does not take any more; it does
  // not return in a daemon (where it does, StoreError is thrown).
  void lead(EtcdGuard guard, std::function<bool()> holds, std::function<void(const std::string&)> deposed);

  std::optional<std::string> value(std::string_view name) override;
  void set_value(std::string_view name, std::string_view value) override;
  void set_values(const std::vector<std::pair<std::string, std::string>>& values) override;
  void add_join_token(std::string_view hash, const JoinToken& token) override;
  TokenVerdict check_join_token(std::string_view hash, std::string_view name, base::UnixSeconds now,
                                bool& relay) override;
  std::optional<Member> enrol(std::string_view token_hash, base::UnixSeconds now, Member member,
                              std::uint32_t lowest, std::uint32_t highest,
                              const std::function<void(Member&)>& finish) override;
  std::vector<Member> members() override;
  void update_record(std::uint32_t id, const proto::v1::NodeRecord& record) override;
  void revoke(std::uint32_t id) override;
  void update_keys(const Member& member) override;
  std::vector<proto::v1::Tenant> tenants() override;
  void put_tenant(const proto::v1::Tenant& tenant) override;
  void remove_tenant(std::string_view name) override;
  std::vector<RelayKeyRow> relay_keys() override;
  void add_relay_key(const RelayKeyRow& row) override;
  void remove_relay_keys_before(std::uint64_t week) override;
  std::vector<Pushed> pushed() override;
  void set_pushed(const std::vector<Pushed>& rows) override;
  void set_acknowledged(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& versions) override;
  void set_reported(std::uint32_t domain, std::string_view report) override;
  std::vector<std::pair<std::uint32_t, std::string>> reported() override;
  std::vector<std::pair<std::string, std::string>> values_of(std::string_view prefix, std::string_view after,
                                                             std::size_t limit) override;

 private:
  using Rows = std::map<std::string, std::string, std::less<>>;  // without the prefix
  const std::string* find(std::string_view key) const;
  // What stands under `folder` ("member/"), by the rest of its key.
  std::vector<std::pair<std::string, const std::string*>> under(std::string_view folder) const;
  std::optional<Member> member(std::uint32_t id) const;
  // All in one transaction, then in memory; in a batch in memory, and in a transaction at its end.
  void commit(std::vector<EtcdChange> changes);
  void put(std::string key, std::string value);
  void begin_batch() override;
  void end_batch() override;
  // In one transaction. StoreError where it was not done.
  void write(const std::vector<EtcdChange>& changes);

  EtcdClient client_;
  Role role_;
  Rows rows_;
  std::optional<EtcdGuard> guard_;  // while leading
  std::function<bool()> holds_;
  std::function<void(const std::string&)> deposed_;
  std::uint64_t decisions_ = 0;  // of this epoch
  std::optional<EtcdBatch> batch_;
};

}  // namespace qanat::store
