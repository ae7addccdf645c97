#include "controller/session/authority.hh"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/errc.hh"
#include "base/hex.hh"
#include "controller/session/x509.hh"
#include "controller/store/store.hh"

namespace qanat::session {
namespace {

constexpr base::UnixSeconds kDay = 86'400;
constexpr base::UnixSeconds kCaLife = 20 * 365 * kDay;
constexpr base::UnixSeconds kMemberLife = 5 * 365 * kDay;
constexpr base::UnixSeconds kServerLife = 2 * 365 * kDay;  // made anew at each start
// Boxes without NTP may be behind.
constexpr base::UnixSeconds kBackdate = kDay;

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
  if (seed.size() != out.size())
    throw store::DatabaseError("state database: broken key " + std::string(name));
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

Authority::Authority(store::Store& store, std::string_view name, base::UnixSeconds now) {
  ca_key_ = seed_of(store, "ca_key");
  config_key_ = seed_of(store, "config_key");
  if (const auto kept = store.value("ca_certificate")) {
    ca_pem_ = *kept;
  } else {
    const x509::Key key = x509::key_of(ca_key_);
    const std::string common_name = "Qanat CA of " + std::string(name);
    const x509::Subject subject{.common_name = common_name,
                                .uri = {},
                                .ca = true,
                                .not_before = now - kBackdate,
                                .not_after = now + kCaLife};
    ca_pem_ = x509::certificate_pem(x509::make_certificate(subject, key.get(), nullptr, key.get()).get());
    store.set_value("ca_certificate", ca_pem_);
  }
  const auto fingerprint = base::certificate_fingerprint(ca_pem_);
  if (!fingerprint) throw store::DatabaseError("state database: broken CA certificate");
  fingerprint_ = *fingerprint;
}

base::TlsIdentity Authority::server_identity(std::string_view name, base::UnixSeconds now) const {
  const x509::Key key = x509::generate_key();
  const x509::Certificate ca = x509::parse_certificate_pem(ca_pem_);
  const x509::Key ca_key = x509::key_of(ca_key_);
  const x509::Subject subject{.common_name = name,
                              .uri = "qanat:controller",
                              .server = true,
                              .not_before = now - kBackdate,
                              .not_after = now + kServerLife};
  const auto leaf = x509::make_certificate(subject, key.get(), ca.get(), ca_key.get());
  return {x509::certificate_pem(leaf.get()) + ca_pem_, x509::private_pem(key.get())};
}

base::Result<std::string> Authority::issue(std::string_view csr_der, std::string_view common_name,
                                           std::string_view uri, base::UnixSeconds now) const {
  const x509::Request request = x509::parse_request_der(csr_der);
  if (!request) return make_error_code(base::Errc::BadCertificate);
  const x509::Certificate ca = x509::parse_certificate_pem(ca_pem_);
  const x509::Key ca_key = x509::key_of(ca_key_);
  const x509::Subject subject{
      .common_name = common_name, .uri = uri, .not_before = now - kBackdate, .not_after = now + kMemberLife};
  return x509::certificate_pem(
      x509::make_certificate(subject, X509_REQ_get0_pubkey(request.get()), ca.get(), ca_key.get()).get());
}

std::string Authority::bind(const proto::v1::NodeRecord& record) const {
  const auto signature = proto::sign(proto::binding_signing_input(record), ca_key_);
  return {signature.begin(), signature.end()};
}

std::string make_private_key() { return x509::private_pem(x509::generate_key().get()); }

std::string make_request(std::string_view private_key_pem, std::string_view common_name) {
  return x509::request_der(x509::parse_private_pem(private_key_pem).get(), common_name);
}

}  // namespace qanat::session
