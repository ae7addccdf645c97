#include "dataplane/agent/trial.hh"

#include <utility>

namespace qanat::agent {

void Trial::on_applied(const Held& held, base::Time now) {
  if (!proven_ || held->version() == undone_) {
    proven_ = held;
    candidate_ = current_ = {};
    return;
  }
  current_ = {held, now};
  if (!candidate_.held) candidate_ = current_;
}

void Trial::resume(const Held& held, const Held& proven, base::Time now) {
  proven_ = proven;
  candidate_ = current_ = {};
  if (proven && held->version() < proven->version()) {  // it was rolled back before the box restarted
    undone_ = proven->version();
    proven_ = held;
    return;
  }
  on_applied(held, now);
  if (running()) on_silence(now);
}

bool Trial::on_proof(base::Time sent) {
  if (!running() || sent < candidate_.since + kSettle) return false;
  if (sent >= current_.since + kSettle) {
    proven_ = current_.held;
    candidate_ = current_ = {};
    return true;
  }
  proven_ = candidate_.held;
  candidate_ = current_;
  return false;
}

void Trial::on_silence(base::Time now) {
  if (!silent_since_) silent_since_ = now;
}

Held Trial::poll_rollback(base::Time now) {
  const auto due = next_timeout();
  if (!due || now < *due) return nullptr;
  undone_ = current_.held->version();
  candidate_ = current_ = {};
  return proven_;
}

std::optional<base::Time> Trial::next_timeout() const {
  if (!running() || !silent_since_) return std::nullopt;
  return *silent_since_ + kPatience;
}

}  // namespace qanat::agent
