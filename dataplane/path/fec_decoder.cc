#include "dataplane/path/fec_decoder.hh"

#include <algorithm>
#include <cstring>

namespace qanat::path {
namespace {

std::array<std::uint8_t, kSymbolPrefix> prefix_of(const packet::InnerHeader& header, std::size_t body_bytes) {
  std::array<std::uint8_t, kSymbolPrefix> prefix{};
  const std::size_t size = packet::InnerHeader::kBytes + body_bytes;
  prefix[0] = static_cast<std::uint8_t>(size >> 8);
  prefix[1] = static_cast<std::uint8_t>(size);
  header.serialize(std::span{prefix}.subspan(2));
  return prefix;
}

}  // namespace

std::uint8_t FecDecoder::Equation::factor_of(std::uint64_t sequence) const {
  for (const Term& t : terms)
    if (t.sequence == sequence) return t.factor;
  return 0;
}

std::span<const Rebuilt> FecDecoder::on_packet(const StreamId& id, const packet::InnerHeader& header,
                                               packet::Bytes body, base::Time now) {
  out_.clear();
  Stream* stream = find(id, now);
  if (stream == nullptr || kSymbolPrefix + body.size() > PacketSlab::kSlotBytes) return {};
  make_room(*stream);
  const auto prefix = prefix_of(header, body.size());
  const std::uint64_t sequence = header.sequence & kSequenceMask;
  if (sequence_distance(sequence, stream->newest) > 0) stream->newest = sequence;
  keep(*stream, sequence, prefix, body);
  if (stream->equations.empty()) return {};
  take_out(*stream, sequence, prefix, body);
  solve(*stream);
  return out_;
}

packet::OrDrop<std::span<const Rebuilt>> FecDecoder::on_repair(const StreamId& id, packet::Bytes body,
                                                               base::Time now) {
  out_.clear();
  const auto header = RepairHeader::parse(body);
  if (!header) return header.error();
  const std::uint64_t last = (header->first + header->sources - 1) & kSequenceMask;
  Stream* stream = find(id, now);
  if (stream == nullptr) stream = &open(id, last, now);
  make_room(*stream);
  if (sequence_distance(last, stream->newest) > 0) stream->newest = last;
  // What is kept reaches back kKept packets: of an older window it cannot be told what came.
  if (sequence_distance(stream->newest, header->first) >= static_cast<std::int64_t>(kKept))
    return std::span<const Rebuilt>{};

  // 1. What is missing of it.
  Equation equation;
  std::size_t reach = 0;
  for (unsigned s = 0; s < header->sources; ++s) {
    const std::uint64_t sequence = (header->first + s) & kSequenceMask;
    if (const Source* have = source(*stream, sequence))
      reach = std::max<std::size_t>(reach, have->bytes);
    else if (equation.terms.size() <= kOpenRepairs)
      equation.terms.push_back({sequence, fec_factor(sequence, header->number)});
  }
  if (equation.terms.empty() || equation.terms.size() > kOpenRepairs) return std::span<const Rebuilt>{};
  const auto symbol = body.subspan(RepairHeader::kBytes);
  if (reach > symbol.size()) return packet::DropReason::RepairMalformed;
  // 2. Take what came out of it: what is left is a sum of the missing ones.
  if (stream->equations.size() == kOpenRepairs) {
    slab_.release(stream->equations.front().slot);
    stream->equations.erase(stream->equations.begin());
  }
  equation.slot = slab_.acquire();
  equation.bytes = static_cast<std::uint16_t>(symbol.size());
  const auto sum = slab_.bytes(equation.slot);
  std::ranges::fill(sum, 0);
  std::ranges::copy(symbol, sum.begin());
  for (unsigned s = 0; s < header->sources; ++s)
    if (const Source* have = source(*stream, (header->first + s) & kSequenceMask))
      fec_add(fec_factor(header->first + s, header->number), slab_.bytes(have->slot).first(have->bytes), sum);
  // 3. Solve with the others.
  insert(*stream, std::move(equation));
  if (!solve(*stream)) return packet::DropReason::RepairMalformed;
  return std::span<const Rebuilt>{out_};
}

// into += factor · equation.
void FecDecoder::add(Equation& into, std::uint8_t factor, const Equation& equation) {
  std::vector<Term> sum;
  sum.reserve(into.terms.size() + equation.terms.size());
  auto a = into.terms.begin();
  for (const Term& b : equation.terms) {
    while (a != into.terms.end() && sequence_distance(a->sequence, b.sequence) < 0) sum.push_back(*a++);
    std::uint8_t f = fec_multiply(factor, b.factor);
    if (a != into.terms.end() && a->sequence == b.sequence) f ^= a++->factor;
    if (f != 0) sum.push_back({b.sequence, f});
  }
  sum.insert(sum.end(), a, into.terms.end());
  into.terms = std::move(sum);
  into.bytes = std::max(into.bytes, equation.bytes);
  fec_add(factor, slab_.bytes(equation.slot).first(equation.bytes), slab_.bytes(into.slot));
}

// Reduced by the others, and the others by it.
void FecDecoder::insert(Stream& stream, Equation equation) {
  for (const Equation& e : stream.equations)
    if (const std::uint8_t f = equation.factor_of(e.terms[0].sequence); f != 0)
      add(equation, fec_divide(f, e.terms[0].factor), e);
  if (equation.terms.empty() || equation.terms.size() > 2 * kOpenRepairs) return slab_.release(equation.slot);
  const Term own = equation.terms[0];
  for (Equation& e : stream.equations)
    if (const std::uint8_t f = e.factor_of(own.sequence); f != 0) add(e, fec_divide(f, own.factor), equation);
  stream.equations.push_back(std::move(equation));
}

// A packet is unknown no longer.
void FecDecoder::take_out(Stream& stream, std::uint64_t sequence, packet::Bytes head, packet::Bytes body) {
  std::optional<Equation> again;
  for (std::size_t i = 0; i < stream.equations.size();) {
    Equation& e = stream.equations[i];
    const std::uint8_t f = e.factor_of(sequence);
    if (f == 0) {
      ++i;
      continue;
    }
    const auto sum = slab_.bytes(e.slot);
    fec_add(f, head, sum);
    fec_add(f, body, sum.subspan(head.size()));
    const bool own = e.terms[0].sequence == sequence;
    std::erase_if(e.terms, [&](const Term& t) { return t.sequence == sequence; });
    if (!own) {
      ++i;
      continue;
    }
    again = std::move(e);  // it has to find another unknown of its own
    stream.equations.erase(stream.equations.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (again) insert(stream, std::move(*again));
}

// Equations with a single unknown are packets. False: what comes out is no packet of this stream.
bool FecDecoder::solve(Stream& stream) {
  const std::size_t before = out_.size();
  bool sound = true;
  for (std::size_t i = 0; sound && i < stream.equations.size();) {
    Equation& e = stream.equations[i];
    if (e.terms.size() != 1) {
      ++i;
      continue;
    }
    const Term term = e.terms[0];
    const std::size_t length = e.bytes;
    const Slot slot = slab_.acquire();
    released_.push_back(slot);
    const auto symbol = slab_.bytes(slot).first(length);
    std::ranges::fill(symbol, 0);
    fec_add(fec_divide(1, term.factor), slab_.bytes(e.slot).first(length), symbol);
    slab_.release(e.slot);
    stream.equations.erase(stream.equations.begin() + static_cast<std::ptrdiff_t>(i));
    const std::size_t size = std::size_t{symbol[0]} << 8 | symbol[1];
    sound = size >= packet::InnerHeader::kBytes && size + 2 <= length;
    if (!sound) break;
    const auto header = packet::InnerHeader::parse(symbol.subspan(2, size));
    sound = header.has_value() && header->kind == packet::InnerKind::Packet &&
            header->tier == stream.id.tier && header->sequence == term.sequence;
    if (sound)
      out_.push_back({stream.id, *header, symbol.subspan(kSymbolPrefix, size - packet::InnerHeader::kBytes)});
  }
  if (!sound) {
    out_.resize(before);
    for (const Equation& e : stream.equations) slab_.release(e.slot);
    stream.equations.clear();
    return false;
  }
  rebuilt_ += out_.size() - before;
  if (out_.size() > before && !stream.owes) {
    stream.owes = true;
    ++owing_;
  }
  // Repairs to come shall find them there.
  for (std::size_t i = before; i < out_.size(); ++i) {
    const Rebuilt& r = out_[i];
    keep(stream, r.header.sequence, {r.bytes.data() - kSymbolPrefix, kSymbolPrefix}, r.bytes);
  }
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
  if (s.slot == kNone) s.slot = slab_.acquire();
  const auto bytes = slab_.bytes(s.slot);
  std::ranges::copy(head, bytes.begin());
  std::ranges::copy(body, bytes.begin() + static_cast<std::ptrdiff_t>(head.size()));
  s.sequence = sequence;
  s.bytes = static_cast<std::uint16_t>(head.size() + body.size());
}

// For one more packet; what is solved needs no more than its equations had. Room comes from the stream that is idle
// longest, be it this one.
void FecDecoder::make_room(Stream& stream) {
  while (kept() >= options_.packets && &streams_.front() != &stream) drop(streams_.begin());
  if (kept() >= options_.packets) empty(stream);
}

void FecDecoder::empty(Stream& stream) {
  for (Source& s : stream.sources)
    if (s.slot != kNone) slab_.release(std::exchange(s.slot, kNone));
  for (const Equation& e : stream.equations) slab_.release(e.slot);
  stream.equations.clear();
}

FecDecoder::Stream* FecDecoder::find(const StreamId& id, base::Time now) {
  const auto it = by_id_.find(id.packed());
  if (it == by_id_.end()) return nullptr;
  streams_.splice(streams_.end(), streams_, it->second);
  it->second->used = now;
  return &*it->second;
}

FecDecoder::Stream& FecDecoder::open(const StreamId& id, std::uint64_t newest, base::Time now) {
  if (streams_.size() == std::max<std::size_t>(options_.streams, 1)) drop(streams_.begin());
  Stream& stream = streams_.emplace_back();
  stream.id = id;
  stream.newest = newest;
  stream.used = now;
  by_id_.emplace(id.packed(), std::prev(streams_.end()));
  return stream;
}

void FecDecoder::drop(Streams::iterator stream) {
  empty(*stream);
  owing_ -= stream->owes ? 1 : 0;
  by_id_.erase(stream->id.packed());
  streams_.erase(stream);
}

void FecDecoder::clear() {
  for (const Slot slot : released_) slab_.release(slot);
  released_.clear();
  out_.clear();
}

std::optional<FecDecoder::Report> FecDecoder::poll_report(base::Time now) {
  if (owing_ == 0) return std::nullopt;
  for (Stream& stream : streams_) {
    if (!stream.owes || now - stream.reported < kReportEvery) continue;
    stream.owes = false;
    stream.reported = now;
    --owing_;
    Report report{stream.id, {}};
    report.mended.bucket = stream.id.bucket;
    report.mended.first = (stream.newest - (packet::Mended::kSpan - 1)) & kSequenceMask;
    for (std::size_t i = 0; i < packet::Mended::kSpan; ++i)
      if (source(stream, (report.mended.first + i) & kSequenceMask) != nullptr) report.mended.set(i);
    return report;
  }
  return std::nullopt;
}

void FecDecoder::on_timer(base::Time now) {
  while (!streams_.empty() && now - streams_.front().used >= options_.idle) drop(streams_.begin());
  if (streams_.empty() && released_.empty()) slab_.trim();
}

base::Time FecDecoder::next_timeout() const {
  if (streams_.empty()) return base::Time::max();
  base::Time next = streams_.front().used + options_.idle;
  if (owing_ != 0)
    for (const Stream& stream : streams_)
      if (stream.owes) next = std::min(next, stream.reported + kReportEvery);
  return next;
}

void FecDecoder::forget(ids::NodeId peer) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    const auto stream = it++;
    if (stream->id.peer == peer) drop(stream);
  }
}

}  // namespace qanat::path
