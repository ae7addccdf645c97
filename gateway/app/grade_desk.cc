#include "gateway/app/grade_desk.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

#include "base/clock.hh"
#include "base/log.hh"

namespace qanat::app {

using boost::asio::awaitable;

namespace {

constexpr auto kKeepEvery = std::chrono::seconds(5);
constexpr std::int64_t kForgetEvery_ms = 3'600'000;

}  // namespace

void GradeDesk::start() { boost::asio::co_spawn(w_.io, follow(shared_from_this()), boost::asio::detached); }

void GradeDesk::stop() {
  if (std::exchange(stopping_, true)) return;
  timer_.cancel();
}

void GradeDesk::cut_short(const meter::Settlement& s) {
  meter::Service service;
  service.call = s.call.id;
  service.tenant = s.call.tenant;
  service.model = s.call.model;
  service.unix_ms = s.call.started_unix_ms;
  service.miss = meter::Miss::Gateway;
  service.detail = "the gateway ended under the call";
  w_.relay.metrics.graded(service.miss).add();
  w_.relay.grades.add(service);
}

awaitable<void> GradeDesk::follow(std::shared_ptr<GradeDesk> self) {
  while (!self->stopping_) {
    self->timer_.expires_after(kKeepEvery);
    boost::system::error_code ignored;
    co_await self->timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    co_await self->keep();
  }
}

awaitable<void> GradeDesk::keep() {
  static base::LogGate gate(std::chrono::seconds{10});
  const auto wall = static_cast<std::int64_t>(base::unix_now_ms());
  const bool forget = wall - forgotten_ms_ > kForgetEvery_ms;
  auto gathered = std::make_shared<meter::GradeBook::Gathered>(w_.relay.grades.take());
  if (gathered->empty() && !forget) co_return;
  const auto work = [gathered, forget, wall, gateway = w_.gateway](meter::Ledger& l) {
    meter::GradeRows rows(l.store(), gateway);
    if (!gathered->empty()) rows.add(*gathered);
    if (forget) rows.forget(wall);
    return true;
  };
  try {
    co_await w_.ledger.query(work);
    if (forget) forgotten_ms_ = wall;
  } catch (const meter::StoreError& error) {
    w_.relay.grades.put_back(std::move(*gathered));
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "grades not kept yet: {}",
                    error.what());
  }
}

}  // namespace qanat::app
