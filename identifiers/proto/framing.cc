#include "identifiers/proto/framing.hh"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <google/protobuf/stubs/logging.h>

#include "identifiers/proto/errc.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::proto {

// What is wrong with a message is said by Errc. By itself the library would write a line to standard error for every
// string that is not UTF-8: a stranger could fill a disk with them.
[[maybe_unused]] static const auto kLibrarysLog = google::protobuf::SetLogHandler(nullptr);

void FrameDecoder::feed(std::string_view bytes) {
  if (error_) return;
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    consumed_ = 0;
  } else if (consumed_ > buffer_.size() / 2) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  buffer_.append(bytes);
}

boost::system::result<std::optional<std::string>> FrameDecoder::next() {
  if (error_) return error_;
  const std::string_view waiting = std::string_view(buffer_).substr(consumed_);
  if (waiting.size() < kFrameHeaderBytes) return std::optional<std::string>{};
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kFrameHeaderBytes; ++i) {
    length = length << 8 | static_cast<std::uint8_t>(waiting[i]);
  }
  if (length == 0) error_ = Errc::FrameEmpty;
  if (length > max_body_) error_ = Errc::FrameTooLarge;
  if (error_) {
    buffer_ = std::string();
    consumed_ = 0;
    return error_;
  }
  if (waiting.size() - kFrameHeaderBytes < length) return std::optional<std::string>{};
  consumed_ += kFrameHeaderBytes + length;
  return std::optional<std::string>(waiting.substr(kFrameHeaderBytes, length));
}

std::string encode_frame(const v1::Envelope& envelope) {
  const std::size_t length = envelope.ByteSizeLong();
  if (length > kMaxBody) {
    std::fprintf(stderr, "control message of %zu bytes exceeds the protocol's limit\n", length);
    std::abort();
  }
  std::string frame;
  frame.reserve(kFrameHeaderBytes + length);
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(length >> shift & 0xff));
  envelope.AppendToString(&frame);
  return frame;
}

boost::system::result<v1::Envelope> parse_envelope(std::string_view body) {
  v1::Envelope envelope;
  if (body.size() > kMaxBody || !envelope.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
      envelope.body_case() == v1::Envelope::BODY_NOT_SET) {
    return Errc::MalformedEnvelope;
  }
  return envelope;
}

}  // namespace qanat::proto
