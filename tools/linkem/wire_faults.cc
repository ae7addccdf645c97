#include "tools/linkem/wire_faults.hh"

#include <algorithm>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::linkem {

void Loss::configure(const LossModel& model, std::uint64_t next_number) {
  if (model == model_) return;
  model_ = model;
  counted_from_ = next_number;
  bad_ = false;
}

bool Loss::loses(std::uint64_t number) {
  const std::uint64_t nth = number < counted_from_ ? 0 : number - counted_from_ + 1;
  switch (model_.kind) {
    case LossModel::Kind::Bernoulli: return chance_.happens(model_.share, number);
    case LossModel::Kind::GilbertElliott: {
      const bool lost = !chance_.happens(bad_ ? model_.h : model_.k, number);
      bad_ = bad_ ? !chance_.happens(model_.r, number, 1) : chance_.happens(model_.p, number, 1);
      return lost;
    }
    case LossModel::Kind::List: {
      const auto range = std::partition_point(model_.list.begin(), model_.list.end(),
                                              [nth](const auto& r) { return r.second < nth; });
      return nth != 0 && range != model_.list.end() && range->first <= nth;
    }
    case LossModel::Kind::Every: return nth != 0 && nth % model_.every == 0;
  }
  return false;
}

void Loss::push(Packet packet, base::Time now, Outlet& out) {
  cut_where(
      std::move(packet), [this](std::uint64_t number, std::uint16_t) { return loses(number); },
      [&](Packet part, bool lost) {
        if (lost)
          out.drop(part, DropReason::Loss, now);
        else
          out.forward(std::move(part), now);
      });
}

void Duplicate::push(Packet packet, base::Time now, Outlet& out) {
  cut_where(
      std::move(packet),
      [this](std::uint64_t number, std::uint16_t) { return chance_.happens(share_, number); },
      [&](Packet part, bool twice) {
        if (!twice) {
          out.forward(std::move(part), now);
          return;
        }
        duplicated_ += part.count;
        for (std::uint16_t i = 0; i < part.count; ++i) {
          out.forward(part.part(i, 1), now);
          out.forward(part.part(i, 1), now);
        }
      });
}

void Corrupt::flip(Packet& packet) {
  FrameRef copy = completed_copy(packet, pool_);
  const auto view = packet::IpView::parse(copy->span());
  std::size_t from = std::min<std::size_t>(20, copy->bytes - 1);
  std::uint16_t checksum = 0;  // where it stands, when it is to be repaired
  if (view.has_value()) {
    from = view->transport_offset;
    if (fixed_) {
      const std::uint16_t field = packet::checksum_field_offset(view->protocol);
      if (field == 0 || view->fragment) return;
      const std::size_t header =
          view->protocol == packet::kProtocolTcp ? (copy->data()[from + 12] >> 4) * 4u : 8u;
      checksum = static_cast<std::uint16_t>(from + field);
      from += header;
    }
  } else if (fixed_) {
    return;
  }
  if (from >= copy->bytes) return;
  const std::uint64_t bit = chance_.bits(packet.number, 1) % ((copy->bytes - from) * 8);
  copy->data()[from + bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  // A UDP checksum of zero says that there is none.
  if (checksum != 0 && packet::load_be16(copy->data() + checksum) != 0) {
    packet::store_be16(copy->data() + checksum, packet::partial_checksum(*view, view->transport_bytes()));
    packet::complete_checksum(*view, copy->span());
  }
  ++corrupted_;
  packet.frame = std::move(copy);
  packet.first = 0;
}

void Corrupt::push(Packet packet, base::Time now, Outlet& out) {
  cut_where(
      std::move(packet),
      [this](std::uint64_t number, std::uint16_t) { return chance_.happens(share_, number); },
      [&](Packet part, bool hit) {
        if (!hit) {
          out.forward(std::move(part), now);
          return;
        }
        for (std::uint16_t i = 0; i < part.count; ++i) {
          Packet one = part.part(i, 1);
          flip(one);
          out.forward(std::move(one), now);
        }
      });
}

}  // namespace qanat::linkem
