#include "dataplane/agent/node_keys.hh"

#include <algorithm>
#include <system_error>

#include "base/certificate.hh"
#include "dataplane/agent/node_identity.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::agent {
namespace {

std::string as_text(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

NodeKeys::NodeKeys(StateStore& store, std::string name)
    : store_(store),
      name_(std::move(name)),
      identity_(store_.identity_key()),
      static_(store_.static_keys()),
      next_(store_.next_static_keys()),
      previous_(store_.previous_static_keys()),
      reply_(store_.enrolment()) {
  if (!reply_) return;
  std::string why;
  enrolment_ = check(*reply_, why);
  if (!enrolment_) {
    throw std::system_error(std::make_error_code(std::errc::bad_message),
                            store_.path("enrolment") + ": " + why);
  }
}

const std::string& NodeKeys::ca_pem() const { return reply_->ca_pem(); }
base::TlsIdentity NodeKeys::tls_identity() const { return {reply_->certificate_pem(), identity_}; }
base::Result<std::string> NodeKeys::certificate_request() const {
  return agent::certificate_request(identity_, name_);
}

// What an EnrolReply says of us and of whom we believe, or why it is not for us.
std::optional<Enrolment> NodeKeys::check(const proto::v1::EnrolReply& reply, std::string& why) const {
  Enrolment out{reply.node_id(),
                reply.domain_id(),
                proto::config_keys_of(reply.config_public()),
                {},
                reply.trust_serial()};
  const auto ours = public_key_of_private(identity_);
  const auto certified = public_key_of_certificate(reply.certificate_pem());
  const auto cas = base::read_certificates(reply.ca_pem());
  if (out.node == 0 || out.node > 0xffffff || out.domain == 0 || out.domain > 0xffff) {
    why =
        "node " + std::to_string(out.node) + " of domain " + std::to_string(out.domain) + " is out of range";
  } else if (!certified || !ours || *certified != *ours) {
    why = "its certificate is not for the key in " + store_.path("identity.key");
  } else if (!cas) {
    why = "its CA certificate holds no Ed25519 key";
  } else if (out.config_keys.empty()) {
    why = "it holds no configuration key";
  } else {
    for (const base::Certificate& ca : *cas) out.cas.push_back(ca.key);
    return out;
  }
  return std::nullopt;
}

std::optional<Enrolment> NodeKeys::adopt(const proto::v1::EnrolReply& reply,
                                         const std::array<std::uint8_t, 32>& pinned, std::string& why) {
  const auto enrolment = check(reply, why);
  if (!enrolment) return std::nullopt;
  const auto cas = base::read_certificates(reply.ca_pem());
  if (!std::any_of(cas->begin(), cas->end(), [&](const auto& ca) { return ca.fingerprint == pinned; })) {
    why = "its CA is not the one that the join token names";
    return std::nullopt;
  }
  store_.keep_enrolment(reply);
  reply_ = std::make_unique<proto::v1::EnrolReply>(reply);
  enrolment_ = enrolment;
  return enrolment;
}

std::optional<Enrolment> NodeKeys::adopt(const proto::v1::Trust& trust, std::string& why) {
  if (!reply_ || trust.serial() <= reply_->trust_serial()) return std::nullopt;
  const std::string message = proto::trust_signing_input(trust);
  why = base::problem_of(
      {reply_->ca_pem(), trust.ca_pem(), message, trust.signature(), reply_->certificate_pem()});
  proto::v1::EnrolReply next = *reply_;
  next.set_ca_pem(trust.ca_pem());
  if (!trust.config_public().empty()) next.set_config_public(trust.config_public());
  next.set_trust_serial(trust.serial());
  const auto enrolment = why.empty() ? check(next, why) : std::nullopt;
  if (!enrolment) {
    why = "the CAs of serial " + std::to_string(trust.serial()) + " are not taken: " + why;
    return std::nullopt;
  }
  store_.keep_enrolment(next);
  *reply_ = std::move(next);
  enrolment_ = enrolment;
  return enrolment;
}

std::string NodeKeys::adopt(const proto::v1::RenewReply& reply) {
  if (reply.has_refusal()) return "no new certificate: " + reply.refusal().message();
  const auto ours = public_key_of_private(identity_);
  const auto certified = public_key_of_certificate(reply.certificate_pem());
  if (!reply_ || !certified || !ours || *certified != *ours) return "the new certificate is not for our key";
  if (std::none_of(enrolment_->cas.begin(), enrolment_->cas.end(),
                   [&](const auto& ca) { return base::signed_by(reply.certificate_pem(), ca); }))
    return "the new certificate is made by no CA that is believed";
  proto::v1::EnrolReply next = *reply_;
  next.set_certificate_pem(reply.certificate_pem());
  store_.keep_enrolment(next);
  *reply_ = std::move(next);
  return {};
}

proto::v1::TrustAck NodeKeys::acknowledgement() const {
  proto::v1::TrustAck ack;
  ack.set_serial(reply_->trust_serial());
  if (const auto leaf = base::certificate_fingerprint(reply_->certificate_pem()))
    ack.set_certificate(leaf->data(), leaf->size());
  return ack;
}

std::optional<proto::v1::RenewRequest> NodeKeys::renewal(base::UnixSeconds now, unsigned rotate_days) {
  if (!enrolment_) return std::nullopt;
  if (rotate_days != 0 && store_.static_key_days() >= rotate_days) rotate_static();
  if (!next_ && !base::renewal_due(reply_->certificate_pem(), enrolment_->cas.front(), now))
    return std::nullopt;
  const auto csr = certificate_request();
  if (!csr) return std::nullopt;
  proto::v1::RenewRequest request;
  request.set_csr_der(*csr);
  if (next_) request.set_x25519_public(as_text(next_->public_key.bytes));
  return request;
}

void NodeKeys::rotate_static() {
  if (!next_) next_ = store_.make_next_static_keys();
}

bool NodeKeys::promote(const proto::v1::NodeConfig& config) {
  if (!next_ || !enrolment_) return false;
  const auto own = std::find_if(config.nodes().begin(), config.nodes().end(),
                                [this](const auto& n) { return n.node_id() == enrolment_->node; });
  if (own == config.nodes().end() || own->x25519_public() != as_text(next_->public_key.bytes)) return false;
  store_.promote_next_static_keys();
  previous_ = static_;
  static_ = *next_;
  next_.reset();
  return true;
}

}  // namespace qanat::agent
