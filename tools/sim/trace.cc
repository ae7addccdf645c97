#include "tools/sim/trace.hh"

#include <openssl/evp.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "tools/sim/random.hh"

namespace qanat::sim {

std::uint64_t digest_of(std::span<const std::uint8_t> bytes) {
  std::uint64_t hash = bytes.size() * 0x9e3779b97f4a7c15ULL;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
    hash ^= hash >> 32;
  }
  std::uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  return mix(hash ^ rest);
}

void TraceBuffer::varint(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<std::uint8_t>(value));
}

void TraceBuffer::begin(Record kind, base::Time at) {
  bytes_.push_back(static_cast<std::uint8_t>(kind));
  varint(static_cast<std::uint64_t>((at - last_).count()));
  last_ = at;
}

void TraceBuffer::add(Record kind, base::Time at, std::initializer_list<std::uint64_t> fields) {
  begin(kind, at);
  for (const std::uint64_t field : fields) varint(field);
}

void TraceBuffer::add(Record kind, base::Time at, std::initializer_list<std::uint64_t> fields,
                      std::uint32_t digest) {
  add(kind, at, fields);
  for (int i = 0; i < 4; ++i) bytes_.push_back(static_cast<std::uint8_t>(digest >> 8 * i));
}

struct TraceWriter::Hash {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Hash() {
    if (context == nullptr || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) std::abort();
  }
  ~Hash() { EVP_MD_CTX_free(context); }
};

TraceWriter::TraceWriter(const std::string& file, std::uint64_t seed)
    : hash_(std::make_unique<Hash>()), name_(file) {
  if (!file.empty()) {
    file_ = std::fopen(file.c_str(), "wb");
    if (file_ == nullptr) throw std::system_error(errno, std::generic_category(), "write trace " + file);
  }
  std::array<std::uint8_t, 14> head{'Q', 'S', 'I', 'M', '1', '\n'};
  for (int i = 0; i < 8; ++i)
    head[static_cast<std::size_t>(6 + i)] = static_cast<std::uint8_t>(seed >> 8 * i);
  append(head);
}

TraceWriter::~TraceWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

void TraceWriter::append(std::span<const std::uint8_t> bytes) {
  bytes_ += bytes.size();
  EVP_DigestUpdate(hash_->context, bytes.data(), bytes.size());
  if (file_ != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
    throw std::system_error(errno, std::generic_category(), "write trace " + name_);
}

std::string TraceWriter::finish() {
  if (file_ != nullptr) {
    std::FILE* file = file_;
    file_ = nullptr;
    if (std::fclose(file) != 0)
      throw std::system_error(errno, std::generic_category(), "write trace " + name_);
  }
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(hash_->context, digest.data(), &size);
  std::string text;
  for (const unsigned char byte : digest) {
    constexpr char kHex[] = "0123456789abcdef";
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

}  // namespace qanat::sim
