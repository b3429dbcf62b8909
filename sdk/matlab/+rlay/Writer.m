classdef Writer < handle
%WRITER Writes one frame (sections 3 to 7 of docs/wire.md). Raises an error for what cannot be sent.
  properties
    limit
    total = 0 % bytes so far
    depth = 32
    count = 2^20
    keys = 2048 % a frame may have 4096 of them, and two large values
    allowsOpaque = false
  end
  properties (Access = private)
    parts = {}
  end
  methods
    function self = Writer(limit)
      self.limit = 2^26;
      if nargin > 0
        self.limit = limit;
      end
    end
    function frame = finish(self)
      frame = [zeros(1, 0, 'uint8') self.parts{:}];
    end
    function raw(self, bytes)
      self.total = self.total + numel(bytes);
      if self.total > self.limit
        error('rlay:large', 'the answer takes more than %d bytes', self.limit);
      end
      self.parts{end + 1} = bytes;
    end
    function header(self, kind, seq, ack, re)
      self.raw(typecast(uint64([kind seq ack re]), 'uint8'));
    end
    function u8(self, x), self.raw(uint8(x)); end
    function u16(self, x), self.raw(typecast(uint16(x), 'uint8')); end
    function u32(self, x), self.raw(typecast(uint32(x), 'uint8')); end
    function u64(self, x), self.raw(typecast(uint64(x), 'uint8')); end
    function i64(self, x), self.raw(typecast(int64(x), 'uint8')); end
    function f64(self, x), self.raw(typecast(double(x), 'uint8')); end
    % Few calls of raw, each with all that is known: in Octave calls take longer than anything else here.
    function blob(self, bytes)
      self.raw([typecast(uint64(numel(bytes)), 'uint8') bytes]);
    end
    function text(self, x)
      bytes = rlay.utf8(x);
      self.raw([typecast(uint64(numel(bytes)), 'uint8') bytes]);
    end
    function numbers(self, values)
      %NUMBERS A list of integers of 64 bits, signed or not.
      self.raw([typecast(uint64(numel(values)), 'uint8') bytesIn(values)]);
    end
    function slots(self, values)
      self.raw([typecast(uint64(numel(values)), 'uint8') bytesIn(uint32(values))]);
    end
    function optionalText(self, x)
      self.u8(ischar(x));
      if ischar(x)
        self.text(x);
      end
    end

    function value(self, x)
      %VALUE Any value; README.md has the table of which is which in Python.
      self.enter();
      if ischar(x) && size(x, 1) <= 1
        bytes = rlay.utf8(x);
        self.raw([uint8([5 0 0 0]) typecast(uint64(numel(bytes)), 'uint8') bytes]);
      elseif isnumeric(x) || islogical(x)
        self.number(x);
      elseif iscell(x)
        self.items(7, x);
      elseif isstruct(x) && isscalar(x)
        self.pairs([fieldnames(x) struct2cell(x)]);
      elseif isa(x, 'string')
        self.value(rlay.chars(x));
      else
        self.object(x);
      end
      self.depth = self.depth + 1;
    end
    function key(self, key)
      %KEY The key of a dict or of a Dict space.
      if isa(key, 'string')
        key = char(key);
      end
      start = self.total;
      self.value(key);
      if ischar(key)
        return
      end
      [yes, isFree] = rlay.isKey(key);
      if isFree
        return
      end
      if ~yes || (self.total - start > 256 && ~isa(key, 'rlay.Opaque'))
        error('rlay:usage', 'a key of a dict that cannot be sent; use texts');
      end
      self.keys = self.keys - 1;
      if self.keys < 0
        error('rlay:usage', 'more than 2048 keys of dicts that are neither texts nor small integers');
      end
    end

    function space(self, space)
      if ~isa(space, 'rlay.Space')
        error('rlay:usage', 'a %s is no space', class(space));
      end
      self.enter();
      kinds = {'Box', 'Discrete', 'MultiBinary', 'MultiDiscrete', 'Text', 'Tuple', 'Dict', 'Sequence', 'Graph', ...
        'OneOf'};
      self.u32(find(strcmp(space.kind, kinds)) - 1);
      if any(strcmp(space.kind, {'Box', 'Discrete', 'MultiDiscrete'}))
        known = rlay.dtype(space.dtype);
        self.u32(known.code);
      end
      switch space.kind
        case 'Box'
          self.numbers(space.shape);
          self.bound(space.low);
          self.bound(space.high);
        case 'Discrete'
          self.u64(space.n);
          self.i64(space.start);
        case 'MultiBinary'
          self.numbers(space.shape);
          self.u8(space.isInt);
        case 'MultiDiscrete'
          self.numbers(space.shape);
          self.numbers(space.nvec);
          self.numbers(space.start);
        case 'Text'
          self.u64(space.minLength);
          self.u64(space.maxLength);
          self.text(space.charset);
        case 'Dict'
          self.u64(numel(space.keys));
          for i = 1:numel(space.keys)
            self.key(space.keys{i});
            self.space(space.spaces{i});
          end
        case 'Sequence'
          self.u8(space.stack);
          self.space(space.spaces{1});
        case 'Graph'
          self.space(space.spaces{1});
          self.u8(~isempty(space.edge));
          if ~isempty(space.edge)
            self.space(space.edge);
          end
        otherwise
          self.u64(numel(space.spaces));
          cellfun(@(member) self.space(member), space.spaces);
      end
      self.depth = self.depth + 1;
    end

    function payload(self, space, observation)
      %PAYLOAD The observation of one row: packed if it is exactly what unpacking gives back (section 7).
      [ok, packed] = rlay.pack(space, {observation});
      if ok
        self.packed(packed);
      else
        self.u32(1);
        self.value(observation);
      end
    end
    function packed(self, bytes)
      pad = mod(-(self.total + 16), 64);
      head = [zeros(1, 4, 'uint8') typecast(uint64(numel(bytes)), 'uint8') typecast(uint32(pad), 'uint8')];
      self.raw([head zeros(1, pad, 'uint8') bytes]);
    end
  end
  methods (Access = private)
    function enter(self)
      if self.depth == 0
        error('rlay:usage', 'a value that is nested more than 32 levels deep');
      elseif self.count == 0
        error('rlay:usage', 'more than 2^20 values');
      end
      self.depth = self.depth - 1;
      self.count = self.count - 1;
    end
    function number(self, x)
      if isa(x, 'double') && isequal(size(x), [0 0])
        self.u32(0);
      elseif ~isreal(x)
        error('rlay:usage', 'no value of RLay can hold complex numbers');
      elseif ~isscalar(x)
        self.object(rlay.array(x));
      elseif islogical(x)
        self.raw(uint8([1 0 0 0 x]));
      elseif isa(x, 'int64')
        self.raw([uint8([2 0 0 0]) typecast(x, 'uint8')]);
      elseif isa(x, 'double')
        self.raw([uint8([4 0 0 0]) typecast(x, 'uint8')]);
      else
        self.object(rlay.Scalar(strrep(class(x), 'single', 'float32'), x));
      end
    end
    function items(self, tag, items)
      self.raw([uint8([tag 0 0 0]) typecast(uint64(numel(items)), 'uint8')]);
      for i = 1:numel(items)
        self.value(items{i});
      end
    end
    function pairs(self, pairs)
      self.raw([uint8([9 0 0 0]) typecast(uint64(size(pairs, 1)), 'uint8')]);
      for i = 1:size(pairs, 1)
        self.key(pairs{i, 1});
        self.value(pairs{i, 2});
      end
    end
    function object(self, x)
      switch class(x)
        case 'rlay.NdArray'
          known = rlay.dtype(x.dtype);
          self.u32(10);
          self.u32(known.code);
          self.numbers(x.shape);
          self.blob(x.data);
        case 'rlay.Scalar'
          known = rlay.dtype(x.dtype);
          self.u32(11);
          self.u32(known.code);
          self.raw(x.data);
        case 'rlay.TupleValue'
          self.items(8, x.items);
        case 'rlay.DictValue'
          self.pairs(x.pairs);
        case 'rlay.Bytes'
          self.u32(6);
          self.blob(x.bytes);
        case 'rlay.BigInt'
          self.u32(3);
          self.blob(x.bytes);
        case 'rlay.GraphInstance'
          self.u32(12);
          self.value(x.nodes);
          self.value(x.edges);
          self.value(x.edgeLinks);
        case 'string'
          self.u32(5);
          self.text(char(x));
        case 'rlay.Opaque'
          self.opaque(x.typeName, x.repr);
        otherwise
          self.opaque(class(x), ['a ' class(x)]);
      end
    end
    function opaque(self, typeName, repr)
      if ~self.allowsOpaque
        error('rlay:usage', 'no value of RLay can hold a %s', typeName);
      end
      self.u32(13);
      self.text(rlay.cut(typeName));
      self.text(rlay.cut(repr));
    end
    function bound(self, bound)
      self.u32(~bound.isUniform);
      self.raw(bound.values);
      self.raw(bound.bounded);
    end
  end
end

function bytes = bytesIn(values)
  bytes = zeros(1, 0, 'uint8');
  if ~isempty(values)
    bytes = typecast(values, 'uint8');
  end
end
