#include "gateway/admit/client_certificates.hh"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <array>
#include <cctype>
#include <ctime>
#include <span>

#include "base/hex.hh"
#include "base/openssl_handle.hh"

namespace qanat::admit {
namespace {

base::UnixSeconds not_after(const std::string& pem) {
  const base::BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  const base::X509Ptr leaf{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)};
  std::tm time{};
  if (!leaf || ASN1_TIME_to_tm(X509_get0_notAfter(leaf.get()), &time) != 1) return 0;
  return ::timegm(&time);
}

}  // namespace

std::string_view to_string(CertificateError error) {
  switch (error) {
    case CertificateError::Unknown: return "unknown";
    case CertificateError::Revoked: return "revoked";
    case CertificateError::Expired: return "expired";
  }
  return "";
}

std::string_view message_of(CertificateError error) {
  switch (error) {
    case CertificateError::Unknown: return "the client certificate is of nobody who is configured here";
    case CertificateError::Revoked: return "the client certificate was revoked";
    case CertificateError::Expired: return "the client certificate has expired";
  }
  return "";
}

std::string canonical_serial(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':') continue;
    if (!std::isxdigit(static_cast<unsigned char>(c))) return {};
    out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  if (out.size() % 2 != 0) out.insert(out.begin(), '0');
  return out;
}

ClientCertificates::ClientCertificates(std::vector<ClientRule> rules, std::set<std::string> revoked)
    : revoked_(std::move(revoked)) {
  for (ClientRule& rule : rules) {
    std::array<std::uint8_t, 32> hash{};
    SHA256(reinterpret_cast<const unsigned char*>(rule.identity.data()), rule.identity.size(), hash.data());
    KeyInfo info;
    info.id = "cert-" + base::to_hex(std::span(hash).first(6));
    info.tenant = std::move(rule.tenant);
    info.project = std::move(rule.project);
    info.name = "certificate";
    info.max_calls = rule.max_calls;
    info.max_calls_per_minute = rule.max_calls_per_minute;
    info.max_tokens_per_minute = rule.max_tokens_per_minute;
    clients_.emplace(std::move(rule.identity), std::move(info));
  }
}

base::UnixSeconds ClientCertificates::end_of(const base::PeerIdentity& peer) {
  const auto it = ends_.find(peer.fingerprint);
  if (it != ends_.end()) return it->second;
  if (ends_.size() >= kMaxKept) ends_.clear();
  return ends_.emplace(peer.fingerprint, not_after(peer.certificate_pem)).first->second;
}

boost::system::result<const KeyInfo*, CertificateError> ClientCertificates::verify(
    const base::PeerIdentity& peer, base::UnixSeconds now) {
  if (revoked_.contains(peer.serial_hex)) return CertificateError::Revoked;
  if (now >= end_of(peer)) return CertificateError::Expired;
  for (const auto* names : {&peer.uris, &peer.dns_names})
    for (const std::string& name : *names)
      if (const auto it = clients_.find(name); it != clients_.end()) return &it->second;
  return CertificateError::Unknown;
}

}  // namespace qanat::admit
