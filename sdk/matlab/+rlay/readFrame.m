function message = readFrame(frame)
%READFRAME Reads a whole frame: kind, seq, ack, re, and body, which is [] for what an env never receives.
%   Raises an error rlay:protocol for a frame that is malformed.
  r = rlay.Reader(frame);
  header = r.raw(32);
  kind = double(header(1));
  if any(header(2:8))
    error('rlay:protocol', 'reserved bytes that are not 0');
  end
  numbers = typecast(header(9:32), 'uint64');
  message = struct('kind', kind, 'seq', numbers(1), 'ack', numbers(2), 're', numbers(3), 'body', []);
  switch kind
    case 1
      body = hello(r);
    case 2
      body = struct('nonce', r.raw(32));
    case 3
      body = struct('proof', r.raw(32));
    case 4
      body = welcome(r);
    case 5
      body = struct('code', r.u32(), 'wireMin', r.u16(), 'wireMax', r.u16(), 'message', r.text());
    case 9
      body = struct('code', r.u32(), 'message', r.text());
    case 10
      body = struct('code', r.u32(), 'fatal', r.flag(), 'slots', r.slots(), 'errorType', r.text(), ...
        'message', r.text(), 'traceback', r.text());
    case 32
      body = make(r);
    case 33
      body = reset(r);
    case 34
      slots = r.slots();
      body = struct('slots', slots, 'payload', r.payload(numel(slots)));
    case 36
      body = attribute(r);
    case {35, 37}
      body = struct('slots', r.slots());
    case {48, 64, 65, 66, 67, 68, 80}
      return
    otherwise
      error('rlay:protocol', 'unknown kind of frame %d', kind);
  end
  r.finish();
  message.body = body;
end

function body = hello(r)
  if ~isequal(r.raw(4), uint8('RLAY'))
    error('rlay:protocol', 'no magic word');
  end
  body = struct('wireMin', r.u16(), 'wireMax', r.u16(), 'role', r.u8(), 'auth', r.u8());
  if body.role > 1
    error('rlay:protocol', 'an unknown role');
  end
  body.features = r.u64();
  body.maxFrame = r.u64();
  body.peer = r.text(256);
  body.nonce = [];
  if body.auth == 1
    body.nonce = r.raw(32);
  end
  body.ticket = [];
  body.received = [];
  if bitand(body.features, uint64(2))
    body.ticket = r.raw(32);
    body.received = r.u64();
  end
end

function body = welcome(r)
  body = struct('wire', r.u16(), 'features', r.u64(), 'maxFrame', r.u64(), 'peer', r.text(256));
  body.proof = [];
  body.ticket = [];
  body.received = [];
  if r.flag()
    body.proof = r.raw(32);
  end
  if bitand(body.features, uint64(1))
    body.ticket = r.raw(32);
  end
  if bitand(body.features, uint64(2))
    body.received = r.u64();
  end
end

function body = make(r)
  body.envId = r.optionalText(1024);
  body.kwargs = r.value();
  body.renderMode = r.optionalText(256);
  body.slots = r.u32();
  body.autoreset = r.u8();
  if body.autoreset > 2
    error('rlay:protocol', 'an unknown autoreset mode');
  end
end

function body = reset(r)
  n = r.countOf(5);
  slots = zeros(1, n);
  seeds = cell(1, n);
  for i = 1:n
    r.enter();
    slots(i) = r.u32();
    if r.flag()
      seeds{i} = rlay.Bytes(r.blob());
      bytes = seeds{i}.bytes;
      if numel(bytes) > 4096 || (~isempty(bytes) && bytes(end) == 0)
        error('rlay:protocol', 'a seed that is too long, or has zeros at its end');
      end
    end
    r.leave();
  end
  body = struct('slots', slots, 'seeds', {seeds}, 'options', {r.value()});
end

function body = attribute(r)
  body = struct('slots', r.slots(), 'name', r.text(256), 'access', r.u8(), 'values', {{}}, 'kwargs', []);
  if body.access > 2
    error('rlay:protocol', 'an unknown access');
  end
  if body.access > 0
    body.values = r.items();
  end
  if body.access == 1 && numel(body.values) ~= numel(body.slots)
    error('rlay:protocol', 'a value for each slot');
  end
  if body.access == 2
    body.kwargs = r.value();
    if ~isa(body.kwargs, 'rlay.DictValue') || ~all(cellfun(@ischar, body.kwargs.pairs(:, 1)))
      error('rlay:protocol', 'keyword arguments that have no names');
    end
  end
end
