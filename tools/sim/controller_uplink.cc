// Controller, upwards: a domain's session with the global level, as controller/session/uplink keeps it.
#include "tools/sim/controller.hh"

namespace qanat::sim {

void Controller::run_uplink(base::Time now) {
  using State = Uplink::State;
  switch (uplink_.state) {
    case State::Down:
      if (now < uplink_.due) return;
      ++uplink_.connection;
      uplink_.inbox.clear();
      uplink_.sent_until = {};
      uplink_.state = State::Opening;
      uplink_.due = now + kConnectLimit;
      return around_->post({Mail::Kind::Open, identity_.entity, parent_, uplink_.connection, nullptr},
                           uplink_.sent_until, 1);
    case State::Opening:
      if (now >= uplink_.due) uplink_lost(now);
      return;
    case State::Up:
      if (now - uplink_.heard >= kUplinkSilence) return uplink_lost(now);
      if (now >= uplink_.next_ping) {
        uplink_.next_ping = now + std::chrono::seconds(1);
        proto::v1::Envelope ping;
        ping.set_ping(1);
        post(parent_, uplink_.connection, uplink_.sent_until, ping);
      }
      if (uplink_.told && now >= uplink_.next_report) report(now);
  }
}

void Controller::report(base::Time now) {
  uplink_.next_report = now + kReport;
  proto::v1::Envelope envelope;
  *envelope.mutable_domain_report() = domain_->report(at(now));
  post(parent_, uplink_.connection, uplink_.sent_until, envelope);
}

void Controller::uplink_lost(base::Time now) {
  uplink_.state = Uplink::State::Down;
  uplink_.due = now + kRetry;
  uplink_.inbox.clear();
  ++uplink_.connection;
  if (uplink_.told) domain_->on_parent(false);
  uplink_.told = false;
}

void Controller::drain_uplink(base::Time now) {
  while (up() && !uplink_.inbox.empty()) {
    if (!around_->reachable(parent_, identity_.entity))
      return around_->wake(identity_.entity, now + kRetransmit);
    Mail mail = std::move(uplink_.inbox.front());
    uplink_.inbox.pop_front();
    uplink_.heard = now;
    if (mail.kind == Mail::Kind::Closed) return uplink_lost(now);
    if (mail.kind == Mail::Kind::Accepted) {
      uplink_.state = Uplink::State::Up;
      proto::v1::Envelope hello;
      *hello.mutable_hello() = domain_->parent_hello();
      post(parent_, uplink_.connection, uplink_.sent_until, hello);
      continue;
    }
    if (!uplink_.told) {
      uplink_.told = true;
      domain_->on_parent(true);
      report(now);
    }
    if (mail.envelope->has_ping()) {
      proto::v1::Envelope pong;
      pong.set_pong(mail.envelope->ping());
      post(parent_, uplink_.connection, uplink_.sent_until, pong);
    } else if (!mail.envelope->has_pong() && !mail.envelope->has_refusal()) {
      if (const auto reply = domain_->on_parent_envelope(*mail.envelope, at(now)))
        post(parent_, uplink_.connection, uplink_.sent_until, *reply);
    }
  }
}

}  // namespace qanat::sim
