#include "controller/session/authority.hh"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/certificate.hh"
#include "base/errc.hh"
#include "base/hex.hh"
#include "controller/session/x509.hh"
#include "controller/store/store.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::session {
namespace {

constexpr base::UnixSeconds kDay = 86'400;
constexpr base::UnixSeconds kCaLife = 20 * 365 * kDay;
// Members ask for a new one when a third of it is left; a box that is away for longer has to join again.
constexpr base::UnixSeconds kMemberLife = 365 * kDay;
constexpr base::UnixSeconds kServerLife = 2 * 365 * kDay;  // made anew at each start
// Boxes without NTP may be behind.
constexpr base::UnixSeconds kBackdate = kDay;

proto::Ed25519Private fresh_key() {
  proto::Ed25519Private key{};
  const auto fresh = base::random_bytes(key.size());
  std::copy(fresh.begin(), fresh.end(), key.begin());
  return key;
}

proto::Ed25519Private seed_of(store::Store& store, std::string_view name) {
  std::string seed;
  if (const auto kept = store.value(name)) {
    seed = *kept;
  } else {
    const auto fresh = base::random_bytes(32);
    seed.assign(fresh.begin(), fresh.end());
    store.set_value(name, seed);
  }
  proto::Ed25519Private out{};
  if (seed.size() != out.size()) throw store::StoreError("state database: broken key " + std::string(name));
  std::copy(seed.begin(), seed.end(), out.begin());
  return out;
}

}  // namespace

std::uint32_t member_of(const base::PeerIdentity& identity, std::string_view kind) {
  const std::string prefix = "qanat:" + std::string(kind) + ":";
  if (identity.uris.size() != 1 || !identity.uris.front().starts_with(prefix)) return 0;
  const std::string_view digits = std::string_view(identity.uris.front()).substr(prefix.size());
  std::uint32_t id = 0;
  const auto end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, id);
  return parsed.ec == std::errc{} && parsed.ptr == end ? id : 0;
}

Authority::Authority(store::Store& store, std::string_view name, base::UnixSeconds now)
    : store_(store), name_(name) {
  const auto ca_key = seed_of(store, "ca_key");
  config_key_ = seed_of(store, "config_key");
  if (const auto kept = store.value("ca_certificate")) {
    ca_ = read_ca(ca_key, *kept);
  } else {
    ca_ = make_ca(ca_key, now);
    store.set_value("ca_certificate", ca_.pem);
  }
  if (const auto serial = store.value("ca_serial")) serial_ = std::stoull(*serial);
  if (const auto next = store.value("ca_next_certificate")) {
    next_ = read_ca(seed_of(store, "ca_next_key"), *next);
    phase_ = store.value("ca_switched") ? Phase::Switched : Phase::Announced;
    // A rotation that an earlier version began has none.
    if (store.value("config_next_key")) next_config_key_ = seed_of(store, "config_next_key");
  }
}

Authority::Ca Authority::read_ca(const proto::Ed25519Private& key, std::string pem) {
  const auto read = base::read_certificates(pem);
  if (!read || read->front().key != proto::public_of(key))
    throw store::StoreError("state database: broken CA certificate");
  return {key, std::move(pem), read->front().fingerprint, read->front().not_after};
}

// Names of successive CAs differ, so that nobody takes one for the other.
Authority::Ca Authority::make_ca(const proto::Ed25519Private& key, base::UnixSeconds now) const {
  const x509::Key pkey = x509::key_of(key);
  std::string common_name = "Qanat CA of " + name_;
  if (!ca_.pem.empty()) common_name += ", " + std::to_string(now);
  const x509::Subject subject{.common_name = common_name,
                              .uri = {},
                              .ca = true,
                              .not_before = now - kBackdate,
                              .not_after = now + kCaLife};
  return read_ca(
      key, x509::certificate_pem(x509::make_certificate(subject, pkey.get(), nullptr, pkey.get()).get()));
}

std::string Authority::ca_pem() const {
  if (!next_) return ca_.pem;
  return phase_ == Phase::Switched ? next_->pem + ca_.pem : ca_.pem + next_->pem;
}

std::string Authority::ca_publics() const {
  std::string out;
  const auto add = [&out](const Ca& ca) {
    const auto key = proto::public_of(ca.key);
    out.append(key.begin(), key.end());
  };
  add(signer());
  if (next_) add(phase_ == Phase::Switched ? ca_ : *next_);
  return out;
}

std::string Authority::config_publics() const {
  std::string out;
  const auto add = [&out](const proto::Ed25519Private& key) {
    const auto text = proto::public_of(key);
    out.append(text.begin(), text.end());
  };
  add(config_key());
  if (next_config_key_) add(phase_ == Phase::Switched ? config_key_ : *next_config_key_);
  return out;
}

// While two are in force, members that heard of neither step believe the old one alone.
proto::v1::Trust Authority::trust() const {
  proto::v1::Trust trust;
  trust.set_serial(serial_);
  trust.set_ca_pem(ca_pem());
  trust.set_config_public(config_publics());
  const auto signature = proto::sign(proto::trust_signing_input(trust), ca_.key);
  trust.set_signature(signature.data(), signature.size());
  return trust;
}

void Authority::announce(base::UnixSeconds now) {
  if (phase_ != Phase::Stable) return;
  const auto key = fresh_key();
  const auto config_key = fresh_key();
  Ca made = make_ca(key, now);
  // After a lost database too: greater than any before.
  const std::uint64_t serial = std::max<std::uint64_t>(serial_ + 1, now);
  store_.set_values({{"ca_next_key", {key.begin(), key.end()}},
                     {"ca_next_certificate", made.pem},
                     {"config_next_key", {config_key.begin(), config_key.end()}},
                     {"ca_serial", std::to_string(serial)}});
  next_ = std::move(made);
  next_config_key_ = config_key;
  serial_ = serial;
  phase_ = Phase::Announced;
}

void Authority::switch_over() {
  if (phase_ != Phase::Announced) return;
  store_.set_values({{"ca_switched", "1"}, {"ca_serial", std::to_string(serial_ + 1)}});
  ++serial_;
  phase_ = Phase::Switched;
}

void Authority::retire() {
  if (phase_ != Phase::Switched) return;
  const proto::Ed25519Private config_key = this->config_key();
  store_.set_values({{"ca_key", {next_->key.begin(), next_->key.end()}},
                     {"ca_certificate", next_->pem},
                     {"ca_next_key", {}},
                     {"ca_next_certificate", {}},
                     {"ca_switched", {}},
                     {"config_key", {config_key.begin(), config_key.end()}},
                     {"config_next_key", {}},
                     {"ca_serial", std::to_string(serial_ + 1)}});
  ++serial_;
  ca_ = std::move(*next_);
  next_.reset();
  config_key_ = config_key;
  next_config_key_.reset();
  phase_ = Phase::Stable;
}

base::TlsIdentity Authority::server_identity(std::string_view name, base::UnixSeconds now) const {
  const x509::Key key = x509::generate_key();
  const x509::Certificate ca = x509::parse_certificate_pem(ca_.pem);
  const x509::Key ca_key = x509::key_of(ca_.key);
  const x509::Subject subject{.common_name = name,
                              .uri = "qanat:controller",
                              .server = true,
                              .not_before = now - kBackdate,
                              .not_after = now + kServerLife};
  const auto leaf = x509::make_certificate(subject, key.get(), ca.get(), ca_key.get());
  return {x509::certificate_pem(leaf.get()) + ca_.pem, x509::private_pem(key.get())};
}

base::Result<std::string> Authority::issue(std::string_view csr_der, std::string_view common_name,
                                           std::string_view uri, base::UnixSeconds now,
                                           base::UnixSeconds after) const {
  const x509::Request request = x509::parse_request_der(csr_der);
  if (!request) return make_error_code(base::Errc::BadCertificate);
  const x509::Certificate ca = x509::parse_certificate_pem(signer().pem);
  const x509::Key ca_key = x509::key_of(signer().key);
  const x509::Subject subject{.common_name = common_name,
                              .uri = uri,
                              .not_before = std::max(now - kBackdate, std::min(after + 1, now)),
                              .not_after = now + kMemberLife};
  return x509::certificate_pem(
      x509::make_certificate(subject, X509_REQ_get0_pubkey(request.get()), ca.get(), ca_key.get()).get());
}

std::string Authority::bind(const proto::v1::NodeRecord& record) const {
  const auto signature = proto::sign(proto::binding_signing_input(record), signer().key);
  return {signature.begin(), signature.end()};
}

std::string make_private_key() { return x509::private_pem(x509::generate_key().get()); }

std::string make_request(std::string_view private_key_pem, std::string_view common_name) {
  return x509::request_der(x509::parse_private_pem(private_key_pem).get(), common_name);
}

}  // namespace qanat::session
