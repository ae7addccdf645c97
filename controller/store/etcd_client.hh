// EtcdClient: what a controller asks of etcd (v3 API, through its JSON gateway): range, guarded transactions, leases.
// Every call blocks, tries the endpoints in turn, and is over within kCallLimit for each; one client, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "base/time.hh"
#include "base/tls.hh"
#include "controller/store/store.hh"

namespace qanat::store {

// What one client has found out, so that the next one begins there: which member answers, and under which token. Any thread.
class EtcdFindings {
 public:
  struct Now {
    std::size_t member = 0;  // index into the endpoints
    std::string token;       // empty: sign in
  };
  Now now() const;
  // Of those that found `tried` wanting, the first decides.
  void next_member(const Now& tried, std::size_t members);
  void drop_token(const Now& tried);
  void keep_token(std::string token);

 private:
  mutable std::mutex mutex_;
  Now now_;
};

struct EtcdConfig {
  std::vector<std::string> endpoints;  // "http://127.0.0.1:2379", "https://etcd1:2379"
  std::string user{};                  // empty: no authentication
  std::string password{};
  base::TlsContext tls{};  // for https
  // Shared by all clients that are given a copy.
  std::shared_ptr<EtcdFindings> findings = std::make_shared<EtcdFindings>();
};

struct EtcdRow {
  std::string key;
  std::string value;
  std::int64_t create_revision = 0;
};
struct EtcdRange {
  std::vector<EtcdRow> rows;  // ascending by key
  std::int64_t revision = 0;  // of the whole store
};

// One step of a transaction: written, or erased where there is no value.
struct EtcdChange {
  std::string key;
  std::optional<std::string> value;
  std::int64_t lease = 0;     // the key goes when it does; 0: stays
  std::int64_t revision = 0;  // of a change that a watch tells: when it was done
};
// What must hold for a transaction to be done: the key was created at this revision (0: is not there).
struct EtcdGuard {
  std::string key;
  std::int64_t create_revision = 0;
};
struct EtcdOutcome {
  bool done = false;  // false: the guard did not hold, nothing has changed
  std::int64_t revision = 0;
};

// What one line of a watch says.
struct EtcdNews {
  std::vector<EtcdChange> changes;
  std::int64_t revision = 0;
  bool gap = false;  // what was missed is compacted away: read everything
};

// etcd answered, and said no: repeating it helps nobody.
struct EtcdRefused : StoreError {
  using StoreError::StoreError;
};

class EtcdClient {
 public:
  static constexpr base::Duration kCallLimit = std::chrono::milliseconds(800);
  // A transaction holds 128 steps at most unless etcd is told otherwise (--max-txn-ops).
  static constexpr std::size_t kMostChanges = 100;

  explicit EtcdClient(EtcdConfig config);
  ~EtcdClient();
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  // All throw StoreError when no endpoint answered (what was asked for may have been done), EtcdRefused when one said no.
  EtcdRange range(std::string_view prefix);
  EtcdOutcome commit(const EtcdGuard& guard, const std::vector<EtcdChange>& changes);
  // The lease's number; it ends `ttl_s` after its last keep_alive.
  std::int64_t grant(std::int64_t ttl_s);
  // False: it has ended.
  bool keep_alive(std::int64_t lease);
  void revoke(std::int64_t lease);

 private:
  struct State;
  std::string call(std::string_view path, const std::string& body);
  std::unique_ptr<State> state_;
};

// ---- the gateway's JSON ----
// The end of the range of all keys that begin with `prefix`.
std::string prefix_end(std::string prefix);
// Of the body of POST /v3/watch: everything under `prefix` from `revision` on.
std::string watch_request(std::string_view prefix, std::int64_t revision);
base::Result<EtcdNews> parse_news(std::string_view line);

}  // namespace qanat::store
