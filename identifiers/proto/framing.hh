// Framing of the control protocol: u32 length in network order, then one protobuf Envelope of that many
// bytes. The decoder does no I/O and checks the length against its limit before it keeps a single byte of the
// body.
#pragma once

#include <boost/system/result.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::proto::v1 {
class Envelope;
}

namespace qanat::proto {

inline constexpr std::size_t kFrameHeaderBytes = 4;
// Largest body that a peer without a verified certificate may send.
inline constexpr std::size_t kMaxBodyBeforeAuth = 16 * 1024;
// Largest body between authenticated peers: a snapshot for a few thousand nodes.
inline constexpr std::size_t kMaxBody = 16 * 1024 * 1024;

// Cuts a byte stream into bodies. Feed what a read returned, then call next() until it yields nothing; memory
// held is at most one frame and one read. The first error is sticky: the connection must be closed.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t max_body) : max_body_(max_body) {}

  // Applies to the next header that is looked at: raised once the peer is authenticated.
  void set_max_body(std::size_t max_body) { max_body_ = max_body; }

  void feed(std::string_view bytes);
  // The next whole body, nothing when more bytes are needed, or FrameTooLarge / FrameEmpty.
  boost::system::result<std::optional<std::string>> next();
  // True when no part of a frame is waiting: a stream that ends here ended cleanly.
  bool at_boundary() const { return buffer_.size() == consumed_; }

 private:
  std::string buffer_;
  std::size_t consumed_ = 0;
  std::size_t max_body_;
  boost::system::error_code error_;
};

// Header and body. Aborts if the body exceeds kMaxBody: senders bound what they send.
std::string encode_frame(const v1::Envelope& envelope);

// A body as an Envelope; total on any bytes. MalformedEnvelope also when no body field is set.
boost::system::result<v1::Envelope> parse_envelope(std::string_view body);

}  // namespace qanat::proto
