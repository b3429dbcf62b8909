function writeBody(w, kind, x)
%WRITEBODY Writes the body of a frame of the handshake, of Goodbye or of Error (section 8 of docs/wire.md).
  switch kind
    case 1
      w.raw(uint8('RLAY'));
      w.u16(x.wireMin);
      w.u16(x.wireMax);
      w.u8(x.role);
      w.u8(x.auth);
      w.u64(x.features);
      w.u64(x.maxFrame);
      w.text(x.peer);
      w.raw(x.nonce);
      if ~isempty(x.ticket)
        w.raw(x.ticket);
        w.u64(x.received);
      end
    case 2
      w.raw(x.nonce);
    case 3
      w.raw(x.proof);
    case 4
      w.u16(x.wire);
      w.u64(x.features);
      w.u64(x.maxFrame);
      w.text(x.peer);
      w.u8(~isempty(x.proof));
      w.raw(x.proof);
      w.raw(x.ticket);
      if ~isempty(x.received)
        w.u64(x.received);
      end
    case 5
      w.u32(x.code);
      w.u16(x.wireMin);
      w.u16(x.wireMax);
      w.text(rlay.cut(x.message));
    case 9
      w.u32(x.code);
      w.text(rlay.cut(x.message));
    case 10
      w.u32(x.code);
      w.u8(x.fatal);
      w.slots(x.slots);
      w.text(rlay.cut(x.errorType));
      w.text(rlay.cut(x.message));
      w.text(rlay.cut(x.traceback));
  end
end
