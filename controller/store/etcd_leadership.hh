// Leadership: one of several controllers leads, by a leader key under a lease that a thread of its own keeps alive.
// Careful with time: the lease is taken to end its full length after the last renewal was *sent*, by this machine's
// monotonic clock, which etcd cannot end earlier; so a controller that was stopped or cut off knows before anybody else acts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "controller/store/etcd_client.hh"

namespace qanat::store {

class Leadership {
 public:
  // The thread stops renewing when alive() was not called for so long: a leader whose main thread hangs is none.
  static constexpr base::Duration kStuck = std::chrono::seconds(10);

  // `record`: what the leader key says, for standbys and operators. `lease_s`: 2 is the least that etcd gives.
  Leadership(EtcdConfig config, std::string key, std::string record, std::int64_t lease_s);
  // Gives the lease back, so that another one may lead at once.
  ~Leadership();
  Leadership(const Leadership&) = delete;
  Leadership& operator=(const Leadership&) = delete;

  // One attempt; blocks for some calls. The guard of this term's writes, if it was won. Throws StoreError.
  std::optional<EtcdGuard> campaign();
  // Whether the lease stands for certain. Any thread.
  bool holds() const;
  // Until the lease ends for certain unless it is renewed; 0: it is not held. Any thread.
  base::Duration left() const;
  // Renewals of this lease that etcd did not answer, or refused. Any thread.
  std::uint64_t failed_renewals() const;
  // The main thread works.
  void alive();
  // Lets go of a lease that was won, or not: no renewals from now on.
  void resign();

 private:
  struct Keeper;
  EtcdConfig config_;
  std::string key_;
  std::string record_;
  std::int64_t lease_s_;
  EtcdClient client_;
  std::unique_ptr<Keeper> keeper_;
};

}  // namespace qanat::store
