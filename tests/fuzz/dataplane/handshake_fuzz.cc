// Any bytes as a handshake: nothing forged is ever accepted, nothing crashes. First byte picks the receiving side.
#include <cstdlib>
#include <vector>

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"

using namespace qanat::crypto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  static const KeyPair self = KeyPair::from_secret(*SecretKey::from_bytes(std::vector<std::uint8_t>(32, 1)));
  static const KeyPair peer = KeyPair::from_secret(*SecretKey::from_bytes(std::vector<std::uint8_t>(32, 2)));
  static const HandshakeInitiator initiator(self, peer.public_key, peer, {1, 1}, Suite::Aes256Gcm, 7);
  const Bytes input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      if (HandshakeResponder::on_initiation(self, input).has_value()) std::abort();
      break;
    case 1:
      if (initiator.on_response(input, SecretKey{}).has_value()) std::abort();
      break;
    default: {
      CookieChecker checker(self.public_key);
      MacMaker maker(peer.public_key);
      auto sent = initiator.datagram();
      maker.sign(sent, {});
      if (maker.on_cookie(input, {}).has_value()) std::abort();
      if (checker.check(input, {}) != MacVerdict::Invalid) std::abort();
    }
  }
  return 0;
}
