// OidcKeys: keeps a TokenVerifier's keys those of its issuer: fetched from the one URL that the configuration names, every
// `refresh` and soon after a token named a key that is unknown; what was good last is kept while the issuer is away.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "base/metrics.hh"
#include "base/time.hh"
#include "gateway/admit/token_verifier.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::app {

struct OidcConfig {
  admit::TokenRules rules;
  std::string jwks_url;  // "https://sso.example:443/realms/lab/certs"; redirects are not followed
  std::string ca_file;   // PEM: the CAs that an https URL's certificate may come from
  base::Duration refresh{};
};
// "https://host[:port]/path" → origin with its port, host, path; nothing if it is not one.
struct UrlParts {
  std::string origin, host, path;
};
std::optional<UrlParts> split_url(const std::string& url);

class OidcKeys {
 public:
  // Throws std::system_error when ca_file cannot be read. On the io_context's one thread; `verifier` must outlive it.
  OidcKeys(boost::asio::io_context& io, const OidcConfig& config, admit::TokenVerifier& verifier,
           base::MetricsRegistry& metrics);
  ~OidcKeys();
  void start();
  void stop();

 private:
  struct State;
  static boost::asio::awaitable<void> run(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace qanat::app
