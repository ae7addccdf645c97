#include "base/certificate.hh"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "base/errc.hh"
#include "base/openssl_handle.hh"

namespace qanat::base {
namespace {

using ContextPtr = std::unique_ptr<EVP_MD_CTX, OpensslDeleter<EVP_MD_CTX_free>>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

BioPtr reader(std::string_view pem) {
  return BioPtr{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
}

X509Ptr next(BIO* bio) { return X509Ptr{PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)}; }

UnixSeconds seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  const std::time_t at = timegm(&parts);
  return at < 0 ? 0 : static_cast<UnixSeconds>(at);
}

bool facts_of(X509* certificate, Certificate& out) {
  std::size_t size = out.key.size();
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, out.key.data(), &size) != 1)
    return false;
  unsigned length = out.fingerprint.size();
  X509_digest(certificate, EVP_sha256(), out.fingerprint.data(), &length);
  out.not_before = seconds_of(X509_get0_notBefore(certificate));
  out.not_after = seconds_of(X509_get0_notAfter(certificate));
  out.ca = X509_check_ca(certificate) > 0;
  const BioPtr text{BIO_new(BIO_s_mem())};
  PEM_write_bio_X509(text.get(), certificate);
  char* data = nullptr;
  const long n = BIO_get_mem_data(text.get(), &data);
  out.pem.assign(data, static_cast<std::size_t>(n));
  return true;
}

}  // namespace

Result<std::vector<Certificate>> read_certificates(std::string_view pem) {
  std::vector<Certificate> out;
  const BioPtr bio = reader(pem);
  bool good = true;
  while (const X509Ptr certificate = next(bio.get())) good &= facts_of(certificate.get(), out.emplace_back());
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  if (!good || out.empty()) return make_error_code(Errc::BadCertificate);
  return out;
}

bool signed_by(std::string_view pem, const Ed25519Key& signer) {
  const BioPtr bio = reader(pem);
  const X509Ptr certificate = next(bio.get());
  const KeyPtr key{EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, signer.data(), signer.size())};
  const bool good = certificate && key && X509_verify(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return good;
}

bool renewal_due(std::string_view pem, const Ed25519Key& signer, UnixSeconds now) {
  const auto own = read_certificates(pem);
  if (!own || !signed_by(pem, signer)) return true;
  const Certificate& c = own->front();
  return c.not_after <= now || c.not_after - now < (c.not_after - c.not_before) / 3;
}

std::string problem_of(const Succession& succession) {
  const auto held = read_certificates(succession.held_pem);
  const auto next = read_certificates(succession.next_pem);
  if (!held) return "the CAs believed until now cannot be read";
  if (!next || !std::all_of(next->begin(), next->end(), [](const Certificate& c) { return c.ca; }))
    return "they are no CA certificates";
  const auto vouches = [&](const Certificate& c) {
    const KeyPtr key{EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, c.key.data(), c.key.size())};
    const ContextPtr context{EVP_MD_CTX_new()};
    return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), bytes(succession.signature), succession.signature.size(),
                            bytes(succession.message), succession.message.size()) == 1;
  };
  const bool vouched = std::any_of(held->begin(), held->end(), vouches);
  ERR_clear_error();
  if (!vouched) return "no CA that is believed vouches for them";
  if (!std::any_of(next->begin(), next->end(),
                   [&](const Certificate& c) { return signed_by(succession.own_pem, c.key); }))
    return "none of them made our certificate";
  return {};
}

}  // namespace qanat::base
