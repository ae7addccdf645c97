// The doctor's look at trust: this box's certificate, and who answers where its controllers should be.
#include <fmt/format.h>

#include <openssl/x509_vfy.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "base/certificate.hh"
#include "base/file.hh"
#include "base/http_server.hh"
#include "base/tls.hh"
#include "identifiers/proto/southbound.pb.h"
#include "tools/qanat/doctor_probes.hh"

namespace qanat::cli {
namespace {

namespace asio = boost::asio;
using Came = ControllerEvidence::Came;
constexpr std::chrono::seconds kPatience{3};

std::optional<proto::v1::EnrolReply> enrolment(const std::string& folder) {
  try {
    proto::v1::EnrolReply reply;
    if (reply.ParseFromString(base::read_file(folder + "/enrolment", 1 << 20))) return reply;
  } catch (const std::exception&) {
  }
  return std::nullopt;
}

Came of_verification(long result) {
  switch (result) {
    case X509_V_ERR_CERT_NOT_YET_VALID: return Came::NotYetValid;
    case X509_V_ERR_CERT_HAS_EXPIRED: return Came::Expired;
    case X509_V_OK: return Came::Broken;
    default: return Came::Untrusted;
  }
}

ControllerEvidence attempt(const std::string& text, const base::TlsContext& tls) {
  ControllerEvidence out{Came::Broken, text, {}};
  const auto parts = base::split_address(text);
  boost::system::error_code bad;
  const auto ip = asio::ip::make_address(parts ? parts->first : "", bad);
  if (bad) {
    out.detail = "not an address and port";
    return out;
  }
  asio::io_context io;
  asio::ssl::stream<asio::ip::tcp::socket> stream(io, *tls);
  out.came = Came::Silent;
  out.detail = fmt::format("no answer within {} s", kPatience.count());
  stream.next_layer().async_connect({ip, parts->second}, [&](const boost::system::error_code& error) {
    if (error) {
      out.came = error == asio::error::connection_refused ? Came::Refused : Came::Silent;
      out.detail = error.message();
      return;
    }
    out.detail = fmt::format("it takes the connection, and says nothing within {} s", kPatience.count());
    stream.async_handshake(asio::ssl::stream_base::client, [&](const boost::system::error_code& tls_error) {
      out.came = tls_error ? of_verification(SSL_get_verify_result(stream.native_handle())) : Came::Trusted;
      out.detail = tls_error.message();
    });
  });
  io.run_for(kPatience);
  boost::system::error_code ignored;
  stream.next_layer().close(ignored);
  io.restart();
  ControllerEvidence settled = out;  // what closing it sets off says nothing
  io.run_for(std::chrono::milliseconds(200));
  return settled;
}

}  // namespace

CertificateEvidence probe_certificate(const std::string& folder) {
  CertificateEvidence out;
  out.file = folder + "/enrolment";
  const auto reply = enrolment(folder);
  if (!reply) return out;
  const auto own = base::read_certificates(reply->certificate_pem());
  const auto cas = base::read_certificates(reply->ca_pem());
  if (!own) return out;
  out.there = true;
  out.not_before = own->front().not_before;
  out.not_after = own->front().not_after;
  out.of_our_ca = false;
  if (cas)
    for (const base::Certificate& ca : *cas)
      out.of_our_ca = out.of_our_ca || base::signed_by(own->front().pem, ca.key);
  return out;
}

std::vector<ControllerEvidence> probe_controllers(const BoxFile& box) {
  std::vector<ControllerEvidence> out;
  const auto reply = enrolment(box.state_dir);
  if (!reply) return out;  // without a CA there is nothing to believe by
  try {
    const base::TlsContext tls = base::client_context(reply->ca_pem(), std::nullopt);
    for (const std::string& address : box.controllers) out.push_back(attempt(address, tls));
  } catch (const std::exception& e) {
    out.push_back({Came::Broken, box.state_dir + "/enrolment", e.what()});
  }
  return out;
}

}  // namespace qanat::cli
