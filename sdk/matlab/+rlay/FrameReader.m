classdef FrameReader < handle
%FRAMEREADER Cuts a stream of bytes into frames (section 1 of docs/wire.md).
  properties
    limit = 65536
    isClosed = false % whether the peer said that nothing follows, on purpose
  end
  properties (Access = private)
    parts = {zeros(1, 0, 'uint8')} % pieces that were not joined yet
    at = 1 % what comes before this place of the first piece was taken
    have = 0 % bytes that were not taken
    wanted = 4
    isFrame = false
  end
  methods
    function give(self, bytes)
      if ~isempty(bytes)
        self.parts{end + 1} = bytes;
        self.have = self.have + numel(bytes);
        % Those of like size are joined, so they stay few, and each byte of a large frame is copied few times.
        while numel(self.parts) > 2 && numel(self.parts{end}) >= numel(self.parts{end - 1})
          self.parts = [self.parts(1:end - 2) {[self.parts{end - 1:end}]}];
        end
      end
    end
    function yes = hasMore(self)
      %HASMORE Whether next() has something to do before more bytes arrive.
      yes = ~self.isClosed && self.have >= self.wanted;
    end
    function [found, frame] = next(self)
      %NEXT The next frame, if all of it is there. Raises an error rlay:protocol for a length above the limit.
      found = false;
      frame = zeros(1, 0, 'uint8');
      while ~found && ~self.isClosed && self.have >= self.wanted
        if numel(self.parts) > 1
          self.parts = {[self.parts{1}(self.at:end) self.parts{2:end}]};
          self.at = 1;
        end
        whole = self.parts{1}(self.at:self.at + self.wanted - 1);
        self.at = self.at + self.wanted;
        self.have = self.have - self.wanted;
        if self.have == 0
          self.parts = {zeros(1, 0, 'uint8')};
          self.at = 1;
        end
        if self.isFrame
          found = true;
          frame = whole;
          self.wanted = 4;
          self.isFrame = false;
          continue
        end
        n = double(typecast(whole, 'uint32'));
        if n == 2^32 - 1
          self.isClosed = true;
        elseif n > self.limit
          error('rlay:protocol', 'a frame of %.0f bytes, where %.0f are the most%s', n, self.limit, foreign(whole));
        else
          self.wanted = n;
          self.isFrame = true;
        end
      end
    end
    function yes = isBetweenFrames(self)
      yes = ~self.isFrame && (self.have == 0 || self.isClosed);
    end
  end
end

function text = foreign(first)
  % What the first bytes tell of a peer of another protocol.
  text = '';
  if any(first(1) == [21 22]) && first(2) == 3
    text = '; this is a TLS peer: use tcp:// at both ends';
  elseif any(strcmp(char(first), {'GET ', 'POST', 'HEAD', 'PUT ', 'OPTI', 'HTTP', 'PRI '}))
    text = '; this is an HTTP peer: check address and port';
  end
end
