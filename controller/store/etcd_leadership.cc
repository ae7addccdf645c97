#include "controller/store/etcd_leadership.hh"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.hh"
#include "base/log.hh"

namespace qanat::store {

// The lease that is held, and the thread that renews it.
struct Leadership::Keeper {
  Keeper(const EtcdConfig& config, std::int64_t number, base::Duration length, base::Time granted)
      : lease(number), life(length), ends(granted + length), heard(base::monotonic_now()), client(config) {
    // Signals are the main thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Keeper() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    thread.join();
  }

  void run() {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, life / 5, [this] { return stopping; })) {
      if (base::monotonic_now() - heard.load() > kStuck) continue;
      lock.unlock();
      renew();
      lock.lock();
      if (ended) return;
    }
  }

  void renew() {
    const base::Time sent = base::monotonic_now();
    try {
      if (client.keep_alive(lease)) {
        ends = sent + life;
      } else {
        ended = true;
        ends = base::Time{};
        ++failed;
      }
    } catch (const std::exception& error) {
      ++failed;
      base::log_warn("{}", error.what());
    }
  }

  const std::int64_t lease;
  const base::Duration life;
  std::atomic<base::Time> ends;
  std::atomic<base::Time> heard;
  std::atomic<std::uint64_t> failed{0};
  bool ended = false;  // the thread's own
  EtcdClient client;   // the thread's own
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::thread thread;
};

Leadership::Leadership(EtcdConfig config, std::string key, std::string record, std::int64_t lease_s)
    : config_(config),
      key_(std::move(key)),
      record_(std::move(record)),
      lease_s_(lease_s),
      client_(std::move(config)) {}

Leadership::~Leadership() { resign(); }

std::optional<EtcdGuard> Leadership::campaign() {
  resign();
  const base::Time asked = base::monotonic_now();
  const std::int64_t lease = client_.grant(lease_s_);
  keeper_ = std::make_unique<Keeper>(config_, lease, std::chrono::seconds(lease_s_), asked);
  try {
    const auto outcome = client_.commit({key_, 0}, {EtcdChange{key_, record_, lease}});
    if (outcome.done && holds()) return EtcdGuard{key_, outcome.revision};
  } catch (...) {
    resign();
    throw;
  }
  resign();
  return std::nullopt;
}

bool Leadership::holds() const { return left() > base::Duration{}; }

base::Duration Leadership::left() const {
  if (!keeper_) return {};
  return std::max(base::Duration{}, keeper_->ends.load() - base::monotonic_now());
}

std::uint64_t Leadership::failed_renewals() const { return keeper_ ? keeper_->failed.load() : 0; }

void Leadership::alive() {
  if (keeper_) keeper_->heard = base::monotonic_now();
}

void Leadership::resign() {
  if (!keeper_) return;
  const std::int64_t lease = keeper_->lease;
  keeper_.reset();
  try {
    client_.revoke(lease);
  } catch (const StoreError&) {
    // it runs out by itself
  }
}

}  // namespace qanat::store
