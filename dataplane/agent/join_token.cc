#include "dataplane/agent/join_token.hh"

#include <algorithm>

#include "base/errc.hh"
#include "base/hex.hh"

namespace qanat::agent {

base::Result<JoinToken> parse_join_token(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == text.npos) return base::Errc::BadBase64;
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  JoinToken token{std::string(text), {}};
  const auto dot = text.rfind('.');
  if (!text.starts_with("q1.") || dot < 3) return base::Errc::BadBase64;
  const auto secret = base::from_base64(text.substr(3, dot - 3));
  const auto fingerprint = base::from_base64(text.substr(dot + 1));
  if (!secret || !fingerprint || secret->size() < 16 || secret->size() > 64 ||
      fingerprint->size() != token.ca_fingerprint.size()) {
    return base::Errc::BadBase64;
  }
  std::copy(fingerprint->begin(), fingerprint->end(), token.ca_fingerprint.begin());
  return token;
}

}  // namespace qanat::agent
