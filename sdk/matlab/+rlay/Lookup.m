classdef Lookup < handle
%LOOKUP Finds the IPv4 address of a host in Octave, whose gethostbyname stops the program until a name server answers.
%   So the address is kept. It is looked up anew where it did not help, for a twentieth of the time at most.
  properties
    host
    hasFailed = false % whether nothing took the connection at the address
  end
  properties (Access = private)
    address = ''
    failure = '' % of the last look-up
    again = 0 % when the host may be looked up anew
  end
  methods
    function self = Lookup(host)
      self.host = host;
    end
    function address = get(self)
      %GET The address. Raises an error where there is none.
      now = rlay.clock();
      if (isempty(self.address) || self.hasFailed) && now >= self.again
        self.ask();
        took = rlay.clock() - now;
        self.again = now + max(1, 20 * took);
      end
      if isempty(self.address)
        error('rlay:address', '%s', self.failure);
      end
      address = self.address;
    end
  end
  methods (Access = private)
    function ask(self)
      self.failure = sprintf('no host %s, or none with an IPv4 address', self.host);
      self.hasFailed = false;
      pkg('load', 'sockets');
      try
        found = gethostbyname(self.host);
      catch err
        self.failure = err.message;
        return
      end
      if ~isempty(found)
        self.address = strtrim(found(1, :));
      end
    end
  end
end
