#include "gateway/app/shared_accounts.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "base/clock.hh"
#include "base/log.hh"
#include "gateway/admit/key_store.hh"
#include "gateway/admit/shared_spending.hh"

namespace qanat::app {
namespace asio = boost::asio;
namespace {

constexpr base::Duration kShareInterval = std::chrono::milliseconds{500};

}  // namespace

struct SharedAccounts::State {
  State(relay::Relay& r, std::string own_name)
      : accounts(r.accounts), relay(r), name(std::move(own_name)), timer(r.io) {}

  // What it looks for and what it found, between the loop and the ledger's thread.
  struct Round {
    std::int64_t revision = 0;  // of keys and budgets
    std::int64_t number = 0;    // of spendings
    admit::KeyStore::Kept kept{};
    std::vector<admit::SharedSpending::Told> told{};
  };

  admit::Accounts& accounts;
  relay::Relay& relay;
  std::string name;
  asio::steady_timer timer;
  bool stopping = false;
  Round seen{};
  std::map<std::string, meter::Nano> put;                               // what this gateway has told
  std::map<std::string, std::map<std::string, meter::Nano>> elsewhere;  // account → gateway → spent

  std::map<std::string, meter::Nano> news() const {
    std::map<std::string, meter::Nano> spent;
    for (const auto& [account, limit] : accounts.budgets()) {
      const meter::Nano now = accounts.balance(account).spent;
      const auto before = put.find(account);
      if (now != (before == put.end() ? meter::Nano{0} : before->second)) spent.emplace(account, now);
    }
    return spent;
  }

  void take(const Round& round) {
    if (round.revision != seen.revision) {
      for (const auto& [hash, info] : round.kept.keys) accounts.add(hash, info);
      for (const auto& [account, limit] : round.kept.budgets) accounts.set_budget(account, limit);
    }
    for (const auto& told : round.told) {
      auto& others = elsewhere[told.account];
      others[told.gateway] = told.spent;
      meter::Nano sum = 0;
      for (const auto& [gateway, spent] : others) sum += spent;
      accounts.set_elsewhere(told.account, sum);
    }
    seen.revision = round.revision;
    seen.number = round.number;
    relay.tell_alerts();
  }

  static asio::awaitable<void> follow(std::shared_ptr<State> s) {
    static base::LogGate gate(std::chrono::seconds{10});
    while (!s->stopping) {
      s->timer.expires_after(kShareInterval);
      boost::system::error_code ignored;
      co_await s->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      if (s->stopping) break;
      const auto spent = s->news();
      const auto look = [spent, seen = s->seen, name = s->name](meter::Ledger& l) {
        Round round;
        admit::KeyStore keys(l.store());
        admit::SharedSpending spending(l.store());
        round.revision = keys.revision();
        if (round.revision != seen.revision) round.kept = keys.load();
        spending.put(name, spent);
        round.number = seen.number;
        round.told = spending.since(round.number, name);
        return round;
      };
      try {
        const Round round = co_await s->relay.ledger.query(look);
        if (s->stopping) break;
        for (const auto& [account, amount] : spent) s->put[account] = amount;
        s->take(round);
      } catch (const meter::StoreError& error) {
        base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error,
                        "keys, budgets and what others spend are not followed: {}", error.what());
      }
    }
  }

  // Where it cannot be asked who was first, twice is better than never.
  static asio::awaitable<void> tell(std::shared_ptr<State> s, admit::Accounts::Alert alert) {
    const auto claim = [alert, name = s->name](meter::Ledger& l) {
      return admit::SharedSpending(l.store()).claim(name, alert);
    };
    bool first = true;
    try {
      first = co_await s->relay.ledger.query(claim);
    } catch (const meter::StoreError&) {
    }
    if (first && !s->stopping) s->relay.tell(alert);
  }
};

SharedAccounts::SharedAccounts(relay::Relay& relay, std::string name)
    : state_(std::make_shared<State>(relay, std::move(name))) {}

SharedAccounts::~SharedAccounts() { stop(); }

void SharedAccounts::start() {
  state_->relay.on_alert = [&io = state_->relay.io, s = std::weak_ptr(state_)](const auto& alert) {
    if (auto state = s.lock()) asio::co_spawn(io, State::tell(std::move(state), alert), asio::detached);
  };
  asio::co_spawn(state_->relay.io, State::follow(state_), asio::detached);
}

void SharedAccounts::stop() {
  state_->stopping = true;
  state_->timer.cancel();
}

}  // namespace qanat::app
