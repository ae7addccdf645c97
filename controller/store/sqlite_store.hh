// SqliteStore: the store of a controller that stands alone: one SQLite file.
// Its schema is numbered in user_version and upgraded at opening.
#pragma once

#include "controller/store/database.hh"
#include "controller/store/store.hh"

namespace qanat::store {

class SqliteStore final : public Store {
 public:
  // Makes or upgrades the schema. StoreError when the file is newer than this program or cannot be used.
  explicit SqliteStore(const std::string& file);

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

  std::uint64_t commits() const { return db_.commits(); }

 private:
  void begin_batch() override;
  void end_batch() override;

  Database db_;
  std::optional<Transaction> batch_;
  std::int64_t changed_before_ = 0;  // rows, when the batch began
};

}  // namespace qanat::store
