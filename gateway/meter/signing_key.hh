// SigningKey: an Ed25519 key pair (RFC 8032) in a PEM file; who holds it vouches for what it signs.
// Pools sign usage records with one, gateways contracts and the tickets with which sites move artefacts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace qanat::meter {

class SigningKey {
 public:
  // Reads the PEM file, or makes a key and writes it with mode 0600. Throws std::system_error naming the file.
  static SigningKey load_or_create(const std::string& path);
  SigningKey(SigningKey&&) noexcept;
  ~SigningKey();

  std::string sign(std::string_view text) const;  // base64
  std::string public_key() const;                 // base64 of the 32 bytes

 private:
  struct State;
  explicit SigningKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// False for anything that is not a signature of `text` under `public_key` (both base64).
bool verify(std::string_view text, std::string_view signature, std::string_view public_key) noexcept;

}  // namespace qanat::meter
