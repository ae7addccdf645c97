#include "dataplane/path/fec_decoder.hh"

#include <algorithm>
#include <cstring>

namespace qanat::path {

std::span<const Rebuilt> FecDecoder::on_packet(const StreamId& id, const packet::InnerHeader& header,
                                               packet::Bytes body, base::Time now) {
  out_.clear();
  Stream* stream = find(id, now);
  if (stream == nullptr || kSymbolPrefix + body.size() > PacketSlab::kSlotBytes) return {};
  std::array<std::uint8_t, kSymbolPrefix> prefix{};
  const std::size_t size = packet::InnerHeader::kBytes + body.size();
  prefix[0] = static_cast<std::uint8_t>(size >> 8);
  prefix[1] = static_cast<std::uint8_t>(size);
  header.serialize(std::span{prefix}.subspan(2));
  keep(*stream, header.sequence & kSequenceMask, prefix, body);
  for (const Repair& r : stream->repairs) {
    const std::int64_t place = sequence_distance(header.sequence, r.header.first);
    if (place < 0 || place >= r.header.sources) continue;
    const RepairHeader block = r.header;
    rebuild(*stream, block);
    break;
  }
  return out_;
}

packet::OrDrop<std::span<const Rebuilt>> FecDecoder::on_repair(const StreamId& id, packet::Bytes body,
                                                               base::Time now) {
  out_.clear();
  const auto header = RepairHeader::parse(body);
  if (!header) return header.error();
  Stream* stream = find(id, now);
  if (stream == nullptr) stream = &open(id, now);
  const bool again = std::any_of(stream->repairs.begin(), stream->repairs.end(),
                                 [&](const Repair& r) { return r.header == *header; });
  if (!again) {
    if (stream->repairs.size() == kOpenRepairs) drop_block(*stream, stream->repairs.front().header.first);
    const Slot slot = take_slot(*stream);
    const auto symbol = body.subspan(RepairHeader::kBytes);
    std::memcpy(slab_.bytes(slot).data(), symbol.data(), symbol.size());
    stream->repairs.push_back({*header, slot, static_cast<std::uint16_t>(symbol.size())});
  }
  if (!rebuild(*stream, *header)) return packet::DropReason::RepairMalformed;
  return std::span<const Rebuilt>{out_};
}

// Rebuilds what is missing of a block once there are repairs enough. False: what comes out is no packet of this stream.
bool FecDecoder::rebuild(Stream& stream, const RepairHeader& block) {
  std::array<unsigned, kMostRepairs> missing;
  unsigned lost = 0;
  std::size_t reach = 0;
  for (unsigned s = 0; s < block.sources; ++s) {
    const Source* have = source(stream, (block.first + s) & kSequenceMask);
    if (have != nullptr) {
      reach = std::max<std::size_t>(reach, have->bytes);
      continue;
    }
    if (lost == kMostRepairs) return true;
    missing[lost++] = s;
  }
  std::array<const Repair*, kMostRepairs> with;
  unsigned repairs = 0;
  for (const Repair& r : stream.repairs)
    if (r.header.first == block.first && r.header.sources == block.sources && repairs < lost)
      with[repairs++] = &r;
  if (lost == 0) return drop_block(stream, block.first), true;
  if (repairs < lost) return true;

  // 1. Take what came out of the repairs: what is left of each is a sum of the missing ones.
  const std::size_t length = with[0]->bytes;
  bool sound = reach <= length;
  for (unsigned r = 0; r < lost; ++r) sound = sound && with[r]->bytes == length;
  if (!sound) return drop_block(stream, block.first), false;
  for (unsigned s = 0; s < block.sources; ++s)
    if (const Source* have = source(stream, (block.first + s) & kSequenceMask))
      for (unsigned r = 0; r < lost; ++r)
        fec_add(fec_factor(s, with[r]->header.number), slab_.bytes(have->slot).first(have->bytes),
                slab_.bytes(with[r]->slot));
  // 2. Solve for them.
  std::array<std::uint8_t, kMostRepairs * kMostRepairs> matrix, inverse;
  for (unsigned r = 0; r < lost; ++r)
    for (unsigned m = 0; m < lost; ++m) matrix[r * lost + m] = fec_factor(missing[m], with[r]->header.number);
  sound = fec_invert(matrix, inverse, lost);
  for (unsigned m = 0; sound && m < lost; ++m) {
    const Slot slot = slab_.acquire();
    released_.push_back(slot);
    const auto symbol = slab_.bytes(slot).first(length);
    std::ranges::fill(symbol, 0);
    for (unsigned r = 0; r < lost; ++r)
      fec_add(inverse[m * lost + r], slab_.bytes(with[r]->slot).first(length), symbol);
    const std::size_t size = std::size_t{symbol[0]} << 8 | symbol[1];
    if (size < packet::InnerHeader::kBytes || size + 2 > length) {
      sound = false;
      break;
    }
    const auto header = packet::InnerHeader::parse(symbol.subspan(2, size));
    sound = header.has_value() && header->kind == packet::InnerKind::Packet &&
            header->tier == stream.id.tier &&
            header->sequence == ((block.first + missing[m]) & kSequenceMask);
    if (!sound) break;
    out_.push_back({stream.id, *header, symbol.subspan(kSymbolPrefix, size - packet::InnerHeader::kBytes)});
  }
  drop_block(stream, block.first);
  if (!sound) return out_.clear(), false;
  rebuilt_ += out_.size();
  // The block's other repairs shall find them there.
  for (const Rebuilt& r : out_)
    keep(stream, r.header.sequence, {r.bytes.data() - kSymbolPrefix, kSymbolPrefix}, r.bytes);
  return true;
}

FecDecoder::Source* FecDecoder::source(Stream& stream, std::uint64_t sequence) {
  Source& s = stream.sources[sequence % kKept];
  return s.slot != kNone && s.sequence == sequence ? &s : nullptr;
}

void FecDecoder::keep(Stream& stream, std::uint64_t sequence, packet::Bytes head, packet::Bytes body) {
  Source& s = stream.sources[sequence % kKept];
  if (s.slot != kNone && sequence_distance(sequence, s.sequence) <= 0)
    return;  // the same again, or long gone by
  if (s.slot == kNone) s.slot = take_slot(stream);
  const auto bytes = slab_.bytes(s.slot);
  std::ranges::copy(head, bytes.begin());
  std::ranges::copy(body, bytes.begin() + static_cast<std::ptrdiff_t>(head.size()));
  s.sequence = sequence;
  s.bytes = static_cast<std::uint16_t>(head.size() + body.size());
}

// Room comes from the stream that is idle longest, be it this one.
FecDecoder::Slot FecDecoder::take_slot(Stream& stream) {
  while (slab_.used() - released_.size() >= options_.packets && &streams_.front() != &stream)
    drop(streams_.begin());
  if (slab_.used() - released_.size() >= options_.packets) {
    for (Source& s : stream.sources)
      if (s.slot != kNone) slab_.release(std::exchange(s.slot, kNone));
    while (!stream.repairs.empty()) drop_block(stream, stream.repairs.front().header.first);
  }
  return slab_.acquire();
}

FecDecoder::Stream* FecDecoder::find(const StreamId& id, base::Time now) {
  const auto it = by_id_.find(id.packed());
  if (it == by_id_.end()) return nullptr;
  streams_.splice(streams_.end(), streams_, it->second);
  it->second->used = now;
  return &*it->second;
}

FecDecoder::Stream& FecDecoder::open(const StreamId& id, base::Time now) {
  if (streams_.size() == std::max<std::size_t>(options_.streams, 1)) drop(streams_.begin());
  Stream& stream = streams_.emplace_back();
  stream.id = id;
  stream.used = now;
  by_id_.emplace(id.packed(), std::prev(streams_.end()));
  return stream;
}

void FecDecoder::drop_block(Stream& stream, std::uint64_t first) {
  std::erase_if(stream.repairs, [&](const Repair& r) {
    if (r.header.first != first) return false;
    slab_.release(r.slot);
    return true;
  });
}

void FecDecoder::drop(Streams::iterator stream) {
  for (const Source& s : stream->sources)
    if (s.slot != kNone) slab_.release(s.slot);
  for (const Repair& r : stream->repairs) slab_.release(r.slot);
  by_id_.erase(stream->id.packed());
  streams_.erase(stream);
}

void FecDecoder::clear() {
  for (const Slot slot : released_) slab_.release(slot);
  released_.clear();
  out_.clear();
}

void FecDecoder::on_timer(base::Time now) {
  while (!streams_.empty() && now - streams_.front().used >= options_.idle) drop(streams_.begin());
  if (streams_.empty()) slab_.trim();
}

base::Time FecDecoder::next_timeout() const {
  return streams_.empty() ? base::Time::max() : streams_.front().used + options_.idle;
}

void FecDecoder::forget(ids::NodeId peer) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    const auto stream = it++;
    if (stream->id.peer == peer) drop(stream);
  }
}

}  // namespace qanat::path
